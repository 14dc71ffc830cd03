/** What the picture of a run shows, in the words of `graph()`. */
import type { Page } from '../support/browser.js'

/** Its boxes have their places. */
export const laidOut = (page: Page) => page.locator('.graph[data-laid]').waitFor()

export async function drawn(page: Page) {
  await laidOut(page)
  const boxes: { box: string; key: string; status: string }[] = await page
    .locator('.node')
    .evaluateAll((nodes: any[]) => nodes.map(({ dataset }) => ({ ...dataset })))
  const keys = new Map(boxes.map(({ box, key }) => [box, key]))
  const edges: string[] = await page
    .locator('[data-edge]')
    .evaluateAll((all: any[]) => all.map((each) => each.dataset.edge))
  return {
    nodes: boxes.map(({ key, status }) => `${key} ${status}`).sort(),
    edges: edges
      .map((edge) =>
        edge
          .split('>')
          .map((id) => keys.get(id))
          .join(' → '),
      )
      .sort(),
  }
}
