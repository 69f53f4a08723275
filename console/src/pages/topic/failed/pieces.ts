/* A file of lines in pieces of whole lines, each under the bound of a request. One line that is longer goes as it is:
 * the broker says what is wrong with it. */
const MOST = 4 << 20;
const NEWLINE = 10;

export async function* pieces(file: Blob, most = MOST): AsyncGenerator<Blob> {
  let from = 0;
  while (from < file.size) {
    let to = Math.min(from + most, file.size);
    while (to < file.size) {
      const bytes = new Uint8Array(await file.slice(from, to).arrayBuffer());
      const at = bytes.lastIndexOf(NEWLINE);
      if (at >= 0) {
        to = from + at + 1;
        break;
      }
      to = Math.min(to + most, file.size);
    }
    yield file.slice(from, to);
    from = to;
  }
}
