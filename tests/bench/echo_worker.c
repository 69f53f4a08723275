/* The least that a resident worker can do: answers each line with 200. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

static char buf[1 << 20];

int main(void) {
  static const char answer[] = "{\"code\":200}\n";

  for (;;) {
    ssize_t n = read(0, buf, sizeof buf);

    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0;
    for (const char *p = buf, *end = buf + n; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
      if (write(1, answer, sizeof answer - 1) < 0) return 1;
  }
}
