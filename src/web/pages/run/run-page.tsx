export default function RunPage({ run }: { readonly run: string }) {
  return <h1>{run}</h1>
}
