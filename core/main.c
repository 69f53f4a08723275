/* pepperbusd: arguments and exit codes.
 *
 * Exit codes: 0 clean stop (or -t, -V), 1 it could not run (a port in use, no memory), 2 bad
 * configuration or arguments.
 */
#include "config/settings.h"
#include "daemon/broker.h"
#include "daemon/process.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif
#ifndef PB_SYSCONF_DIR
#define PB_SYSCONF_DIR "/etc"
#endif

enum { EXIT_GOOD = BROKER_STOPPED, EXIT_BAD_ARGUMENTS = BROKER_BAD_CONFIG };

static void usage(FILE *out) {
  fputs(
      "usage: pepperbusd [-c FILE] [-t | --dump-config | -V]\n"
      "  -c FILE        configuration (default " PB_SYSCONF_DIR "/pepperbus/pepperbus.ini)\n"
      "  -t             check the configuration and exit (0: sound, 2: not)\n"
      "  --dump-config  print the effective configuration, secrets masked, and exit\n"
      "  --sample       print a commented sample configuration with every option\n"
      "  --reference    print the reference of all options as Markdown\n"
      "  --manual       print the SECTIONS of pepperbus.ini(5), as Markdown\n"
      "  -p DIR         look for transports in DIR instead of plugin_dir\n"
      "  -V             print the version and exit\n"
      "Runs in the foreground and logs to standard error. TERM and INT drain and stop, HUP reads\n"
      "the configuration again.\n",
      out);
}

/* A reload finds it wherever the process was started. Its links are followed at each reload. The
 * text is `path` itself, or in `ret`. */
static const char *file_absolute(const char *path, char ret[PATH_MAX]) {
  if (*path == '/' || !getcwd(ret, PATH_MAX)) return path;
  size_t n = strlen(ret);
  if ((size_t)snprintf(ret + n, PATH_MAX - n, "/%s", path) >= PATH_MAX - n) return path;
  return ret;
}

struct arguments {
  int mode; /* the option that chose it, 0: run */
  struct broker_options broker;
  char config_path[PATH_MAX];
};

/* True: these say what to do; false: *ret_code is the end of it. */
static bool arguments_read(int argc, char **argv, struct arguments *ret, int *ret_code) {
  static const struct option options[] = {{"dump-config", no_argument, NULL, 'd'},
                                          {"sample", no_argument, NULL, 's'},
                                          {"reference", no_argument, NULL, 'r'},
                                          {"manual", no_argument, NULL, 'm'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
  int c;
  ret->mode = 0;
  ret->broker = (struct broker_options){.config_file = PB_SYSCONF_DIR "/pepperbus/pepperbus.ini"};
  *ret_code = EXIT_GOOD;
  while ((c = getopt_long(argc, argv, "c:tVhp:", options, NULL)) != -1) switch (c) {
    case 'c':
      ret->broker.config_file = file_absolute(optarg, ret->config_path);
      break;
    case 'p':
      ret->broker.plugin_dir = optarg;
      break; /* for --sample and such at build time */
    case 't':
    case 'd':
    case 's':
    case 'r':
    case 'm':
      ret->mode = c;
      break;
    case 'V':
      puts("pepperbusd " PACKAGE_VERSION);
      return false;
    case 'h':
      usage(stdout);
      return false;
    default:
      usage(stderr);
      *ret_code = EXIT_BAD_ARGUMENTS;
      return false;
    }
  if (optind == argc) return true;
  fprintf(stderr, "pepperbusd: \"%s\" is not an option\n", argv[optind]);
  usage(stderr);
  *ret_code = EXIT_BAD_ARGUMENTS;
  return false;
}

int main(int argc, char **argv) {
  struct arguments args;
  int code;
  process_setup();
  if (!arguments_read(argc, argv, &args, &code)) return code;
  switch (args.mode) {
  case 't':
    return (int)broker_check(&args.broker);
  case 'd':
    return (int)broker_dump(&args.broker);
  case 's':
    return (int)broker_print(&args.broker, settings_sample);
  case 'r':
    return (int)broker_print(&args.broker, settings_reference);
  case 'm':
    return (int)broker_print(&args.broker, settings_manual);
  default:
    return (int)broker_run(&args.broker);
  }
}
