export default function WorkersPage() {
  return <h1>Workers and queues</h1>
}
