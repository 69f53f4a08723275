/* The driver of a fuzz target where there is no libFuzzer: runs every file of the directories
 * given, whole and cut off at its end. Included last, under FUZZ_STANDALONE.
 */
#ifndef PB_TESTS_FUZZ_STANDALONE_H
#define PB_TESTS_FUZZ_STANDALONE_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

static int run_file(const char *path) {
  static uint8_t data[1 << 20];
  FILE *in = fopen(path, "rb");
  size_t len;

  if (!in) {
    perror(path);
    return -1;
  }
  len = fread(data, 1, sizeof data, in);
  fclose(in);
  LLVMFuzzerTestOneInput(data, len);
  for (size_t cut = 1; cut < len && cut < 400; cut++) LLVMFuzzerTestOneInput(data, len - cut);
  return 0;
}

/* Runs every file of the given directories, whole and cut off. */
int main(int argc, char **argv) {
  unsigned n = 0;
  int rc = 0;

  for (int i = 1; i < argc; i++) {
    DIR *d = opendir(argv[i]);
    struct dirent *e;

    if (!d) {
      perror(argv[i]);
      return 1;
    }
    while ((e = readdir(d)) != NULL) {
      char path[4096];
      struct stat st;

      snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
      if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) continue;
      if (run_file(path) < 0) rc = 1;
      n++;
    }
    closedir(d);
  }
  printf("%u inputs\n", n);
  return n ? rc : 1;
}

#endif
