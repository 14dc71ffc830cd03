/** Above the buttons of a table's rows: said to those who cannot see them. */
export function ActionsHeading() {
  return (
    <th>
      <span className="visually-hidden">What can be done</span>
    </th>
  )
}
