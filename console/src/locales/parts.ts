/** {"./en/queue.json": texts} becomes {"queue": texts}. */
export function parts(files: Record<string, object>): Record<string, object> {
  return Object.fromEntries(Object.entries(files).map(([path, texts]) => [path.replace(/^.*\/|\.json$/g, ""), texts]));
}
