/* The tables as text: the reference (doc/configuration.md) and the keys of pepperbus.ini(5). */
#include "config/private.h"

#include <string.h>

/* Cells of a table: '|' would end them. */
static void cell_print(const char *text, FILE *out) {
  for (; *text; text++) {
    if (*text == '|') putc('\\', out);
    putc(*text, out);
  }
}

static void option_reference(const struct kind *k, const struct pb_option *o, FILE *out) {
  char range[160];
  option_range_text(o, range, sizeof range);
  fprintf(out, "| `%s` | %s", o->name, option_type_name(o));
  if (*range) fputs(o->type == PB_OPT_CHOICE ? ": " : ", ", out);
  cell_print(range, out);
  fputs(" | ", out);
  if (o->flags & PB_OPT_REQUIRED)
    fputs("required", out);
  else if (o->def && *o->def)
    fprintf(out, "`%s`", o->def);
  fputs(" | ", out);
  const char *title = option_title(k, o);
  if (title) fprintf(out, "**%s.** ", title);
  if (o->flags & PB_OPT_DEPRECATED) fputs("Deprecated. ", out);
  if (o->help) cell_print(o->help, out);
  if (o->flags & PB_OPT_SECRET) fputs(" Never shown.", out);
  if (o->flags & PB_OPT_LOCAL) fputs(" In a file of the node only.", out);
  fputs(" |\n", out);
}

static void table_head(FILE *out) {
  fputs("\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n", out);
}

/* Options of transports. Options that several run types have in common are shown once. */

static bool text_equal(const char *a, const char *b) {
  return a == b || (a && b && strcmp(a, b) == 0);
}

static bool option_alike(const struct pb_option *a, const struct pb_option *b) {
  return b && a->type == b->type && a->flags == b->flags && a->min == b->min && a->max == b->max &&
         text_equal(a->choices, b->choices) && text_equal(a->def, b->def) &&
         text_equal(a->help, b->help);
}

/* The run types that have `o` alike, a bit each; of more than 64 the later ones share nothing. */
static uint64_t sharers(const struct settings_types *types, enum kind_id id,
                        const struct pb_option *o) {
  uint64_t mask = 0;
  for (size_t i = 0; i < types->n && i < 64; i++)
    if (option_alike(o, option_find(transport_options(types->transports[i], id), o->name)))
      mask |= UINT64_C(1) << i;
  return mask;
}

typedef void (*option_fn)(const struct kind *k, const struct pb_option *o, FILE *out);
/* What stands above the options of the run types in `mask`. */
typedef void (*group_fn)(const struct settings_types *types, uint64_t mask, FILE *out);

/* The options of transport `at` that exactly the run types of `mask` have. */
static void group_print(const struct settings_types *types, enum kind_id id, size_t at,
                        uint64_t mask, group_fn head, option_fn row, FILE *out) {
  const struct kind *k = kind_get(id);
  struct options own = transport_options(types->transports[at], id);
  bool begun = false;
  for (const struct pb_option *o = NULL; (o = option_next(own, o));) {
    if (option_find(k->options, o->name) || sharers(types, id, o) != mask) continue;
    if (!begun) head(types, mask, out);
    begun = true;
    row(k, o, out);
  }
}

/* Each group of options is printed once: first the options that only this run type has, then those
 * that it shares with later run types.
 */
static void transports_print(const struct settings_types *types, enum kind_id id, group_fn head,
                             option_fn row, FILE *out) {
  for (size_t at = 0; types && at < types->n && at < 64; at++) {
    struct options own = transport_options(types->transports[at], id);
    uint64_t self = UINT64_C(1) << at, done[OPTIONS_MAX];
    size_t n = 0;
    group_print(types, id, at, self, head, row, out);
    for (const struct pb_option *o = NULL; (o = option_next(own, o));) {
      uint64_t mask = sharers(types, id, o);
      bool known = mask == self || (mask & (self - 1)); /* shown, here or with an earlier one */
      for (size_t i = 0; i < n; i++) known |= done[i] == mask;
      if (known || n == OPTIONS_MAX) continue;
      done[n++] = mask;
      group_print(types, id, at, mask, head, row, out);
    }
  }
}

/* "With run_type = exec or pull", with `mark` around the words of the file. */
static void group_head(const struct settings_types *types, uint64_t mask, const char *mark,
                       FILE *out) {
  fprintf(out, "\nWith %srun_type = ", mark);
  for (size_t i = 0; i < types->n && i < 64; i++) {
    uint64_t bit = UINT64_C(1) << i;
    if (!(mask & bit)) continue;
    if (mask & (bit - 1)) fprintf(out, "%s%s%s", mark, mask >> i == 1 ? " or " : ", ", mark);
    fputs(types->transports[i]->run_type, out);
  }
  fprintf(out, "%s, also:\n", mark);
}

static void reference_group(const struct settings_types *types, uint64_t mask, FILE *out) {
  group_head(types, mask, "`", out);
  table_head(out);
}

/* Keys that several sections have alike stand in one place, after all sections. */

#define SHARED_TITLE "Keys of several sections"

/* The sections that have `o` of `k` alike, a bit each. */
static uint64_t sections_with(const struct kind *k, const struct pb_option *o) {
  uint64_t mask = 0;
  for (int id = 0; id < KINDS; id++) {
    const struct kind *other = kind_get((enum kind_id)id);
    const struct pb_option *same = option_find(other->options, o->name);
    if (option_alike(o, same) && text_equal(option_title(k, o), option_title(other, same)))
      mask |= UINT64_C(1) << id;
  }
  return mask;
}

static bool is_shared(const struct kind *k, const struct pb_option *o) {
  uint64_t mask = sections_with(k, o);
  return mask & (mask - 1);
}

/* What stands between two words of a list, before word `at` of `n`. */
static const char *list_comma(size_t at, size_t n) {
  return !at ? "" : at + 1 == n ? " and " : ", ";
}

/* "Also `title` and `comment`: see", with `mark` around the keys. False: the section shares none.
 */
static bool shared_named(const struct kind *k, const char *mark, FILE *out) {
  size_t n = 0, at = 0;
  for (const struct pb_option *o = NULL; (o = option_next(k->options, o));) n += is_shared(k, o);
  if (!n) return false;
  fputs("\nAlso ", out);
  for (const struct pb_option *o = NULL; (o = option_next(k->options, o));)
    if (is_shared(k, o)) {
      fprintf(out, "%s%s", list_comma(at, n), mark);
      at++;
      for (const char *p = o->name; *p; p++)
        fprintf(out, *p == '_' && *mark == '*' ? "\\_" : "%c", *p);
      fputs(mark, out);
    }
  fputs(": see ", out);
  return true;
}

/* "In `[queue]` and `[topic]`:", with `mark` around the sections. */
static void sections_named(uint64_t mask, const char *mark, FILE *out) {
  size_t n = (size_t)__builtin_popcountll(mask), at = 0;
  fputs("\nIn ", out);
  for (int id = 0; id < KINDS; id++)
    if (mask >> id & 1)
      fprintf(out, "%s%s[%s]%s", list_comma(at++, n), mark, kind_get((enum kind_id)id)->name, mark);
  fputs(":\n", out);
}

/* The keys that exactly the sections of `mask` share, in a group; `first` is the first of them. */
static void shared_group(const struct kind *k, const struct pb_option *first, const char *mark,
                         void (*head)(FILE *out), option_fn row, FILE *out) {
  uint64_t mask = sections_with(k, first);
  sections_named(mask, mark, out);
  if (head) head(out);
  for (const struct pb_option *o = NULL; (o = option_next(k->options, o));)
    if (sections_with(k, o) == mask) row(k, o, out);
}

static void shared_print(const char *mark, void (*head)(FILE *out), option_fn row, FILE *out) {
  uint64_t done[OPTIONS_MAX];
  size_t n = 0;
  for (int id = 0; id < KINDS; id++) {
    const struct kind *k = kind_get((enum kind_id)id);
    for (const struct pb_option *o = NULL; (o = option_next(k->options, o));) {
      uint64_t mask = sections_with(k, o);
      bool known = !is_shared(k, o);
      for (size_t i = 0; i < n; i++) known |= done[i] == mask;
      if (known || n == OPTIONS_MAX) continue;
      done[n++] = mask;
      shared_group(k, o, mark, head, row, out);
    }
  }
}

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "<!-- Made from the option tables by `pepperbusd --reference`; do not edit. -->\n"
    "\n"
    "`pepperbusd -c FILE` reads one INI file, and the files that it includes.\n"
    "\n"
    "| to | do |\n"
    "| --- | --- |\n"
    "| check a file | `pepperbusd -t -c FILE`; it exits with 2 when the file has a fault |\n"
    "| see what is in effect | `pepperbusd --dump-config`: defaults included and secrets masked, "
    "as an INI file again |\n"
    "| apply a changed file | `SIGHUP`, or `pepperbusctl config reload`. Only what differs is "
    "changed. A file with a fault changes nothing, and the log says why |\n"
    "\n"
    "One run reports every fault of all files. Each message has file and line, and says what would "
    "be right:\n"
    "\n"
    "```\n"
    "web.ini:14: [topic msg/reply] timeout = 60: a duration needs a unit; write 60s, or a value "
    "such as 250ms, 5m, 1h or 7d\n"
    "```\n"
    "\n"
    "These are faults: unknown sections and keys, sections and keys that stand twice, values out "
    "of range, references that lead\n"
    "nowhere. The broker never takes a default in the place of a faulty value. A topic can name a "
    "user or a certificate that does not\n"
    "exist. That is a fault for `-t` and for `SIGHUP`. A broker that starts warns, goes on without "
    "that topic, and keeps its jobs.\n"
    "\n"
    "## A small file that works\n"
    "\n"
    "```ini\n"
    "[storage main]\n"
    "managed = yes                 ; the broker starts a redis-server under state_dir\n"
    "\n"
    "[pool local]\n"
    "run_type = cgi\n"
    "address = 127.0.0.1:9000      ; php-fpm\n"
    "\n"
    "[queue msg]\n"
    "password = secret\n"
    "\n"
    "[topic msg/reply]\n"
    "pool = local\n"
    "entry = /srv/app/worker/ReplyWorker.php\n"
    "```\n"
    "\n"
    "## Form of the files\n"
    "\n"
    "* `[type name]` begins a section. `key = value` sets a key in it. Blanks around them and "
    "indentation do not count. A line cannot\n"
    "  continue on the next line.\n"
    "* `;` and `#` begin a comment at the start of a line and after a blank. In `a;b` they belong "
    "to the value.\n"
    "* A value may stand in double quotes. Then `;`, `#` and blanks at its ends belong to it. "
    "`\\\"` and `\\\\` stand for a quote and a\n"
    "  backslash. Other backslashes are kept.\n"
    "* Files are UTF-8, with or without a byte order mark, with the line ends of any system. A "
    "value has at most 64 KiB, a file 16 MiB.\n"
    "* Names of systems, storages, pools, queues and topics have 1 to 128 letters, digits and `_ . "
    ": -`, and at least one letter or\n"
    "  digit. The name of a topic begins with its queue: `[topic QUEUE/TOPIC]`.\n"
    "\n"
    "| kind of value | written |\n"
    "| --- | --- |\n"
    "| duration | `250ms`, `30s`, `5m`, `1h`, `7d`; a number needs a unit, only `0` does not |\n"
    "| range of durations | `1s..10m`; one duration is both ends |\n"
    "| size | `512` (bytes), `64kb`, `8mb`, `1gb`, `1tb`, powers of 1024 |\n"
    "| yes or no | `yes` `no` `true` `false` `on` `off` |\n"
    "| list | items between commas; empty: none |\n"
    "| address | `HOST:PORT`, `[IPV6]:PORT` or `unix:/path` |\n"
    "\n"
    "### include\n"
    "\n"
    "`include` in `[server]` is a list of files or patterns such as `conf.d/*.ini`. They are "
    "relative to the file in which `include`\n"
    "stands. The matches of a pattern are read in the order of their names. A pattern without "
    "matches is no fault. Included files may\n"
    "include others, in their own `[server]` section. Every other key of `[server]` may stand in "
    "one of the files only. A file that\n"
    "includes itself, directly or not, is a fault.\n"
    "\n"
    "### Secrets\n"
    "\n"
    "The password of a queue or topic may be a hash, `password = sha256:SALT:HEX`. The password of "
    "a user is a yescrypt hash.\n"
    "`pepperbusctl passwd` makes both. `password_file = PATH` takes the first line of another "
    "file, relative to the INI file. The\n"
    "broker warns of a file that everyone can read. Redis needs the password of a storage in "
    "clear, so use `password_file` there.\n"
    "Passwords are never printed, neither in messages nor by `--dump-config`.\n"
    "\n"
    "### What may be left out\n"
    "\n"
    "* The `storage` of a topic, if exactly one belongs to the system of the queue or to none.\n"
    "* The `run_type` of a topic, if its pool has one.\n"
    "* The `system` of a queue, if there is only one, or none.\n"
    "* The `password` of a topic: it is the password of the queue.\n"
    "\n"
    "## Two places: files and the shared configuration\n"
    "\n"
    "There is one form of configuration, and there are two places for it:\n"
    "\n"
    "| place | who writes it | what it may have |\n"
    "| --- | --- | --- |\n"
    "| **files**: `pepperbus.ini` of a node, and what it includes | you, with an editor or a tool "
    "| everything |\n"
    "| **shared configuration**: numbered revisions in Redis, in the storage that `[cluster] "
    "storage` names | the console, the API, `pepperbusctl config apply` | `[system]`, `[node]`, "
    "`[storage]`, `[pool]`, `[queue]`, `[topic]`, `[user]` |\n"
    "\n"
    "A node runs both together. Files alone are enough. The shared configuration helps when "
    "several nodes run the same topics, or\n"
    "when people make changes in the console. "
    "[operating.md](operating.md#several-nodes-one-configuration) says how to begin.\n"
    "\n"
    "For example, the file of each node has what belongs to the machine:\n"
    "\n"
    "```ini\n"
    "[server]\n"
    "node = web1\n"
    "entry_roots = /srv/app        ; shared topics may run PHP files of this folder\n"
    "\n"
    "[cluster]\n"
    "name = prod\n"
    "\n"
    "[storage main]\n"
    "address = 10.0.0.5:6379\n"
    "```\n"
    "\n"
    "The shared configuration has what all nodes run:\n"
    "\n"
    "```ini\n"
    "[pool php]\n"
    "run_type = cgi\n"
    "address = 127.0.0.1:9000\n"
    "\n"
    "[queue msg]\n"
    "password = a-long-secret\n"
    "\n"
    "[topic msg/reply]\n"
    "pool = php\n"
    "entry = /srv/app/ReplyWorker.php\n"
    "```\n"
    "\n"
    "These rules hold:\n"
    "\n"
    "* **A section stands in one place.** A change of the shared configuration is refused if a "
    "node has one of its sections in a\n"
    "  file. The message has node, file and line. If a file gets such a section later, the section "
    "of the file counts on that\n"
    "  node, and the log, `pepperbusctl` and the console say so.\n"
    "* **A section in a file names only sections in files.** So a node can start, and `pepperbusd "
    "-t` can check the file, without\n"
    "  Redis. Only `[server] systems` may name a shared system. A shared section may name sections "
    "of both places: in the\n"
    "  example the shared topic uses the storage `main` of the file.\n"
    "* **Some keys are for files only**: they name something on the machine of a node, or start "
    "something there. Examples are\n"
    "  `password_file`, `managed`, `ca_file`, and `entry` of the run types exec and pull. The "
    "tables below say \"In a file of the\n"
    "  node only\". The sections `[server]`, `[cluster]` and `[ldap]` are for files only, too. In "
    "a shared text all of these are\n"
    "  faults.\n"
    "\n"
    "The file of a node says what shared sections may do on this node:\n"
    "\n"
    "| key of `[server]` | allows |\n"
    "| --- | --- |\n"
    "| `shared_run_types` | the run types of shared pools and topics. Without the key: cgi, http, "
    "and pull without `entry` |\n"
    "| `entry_roots` | the folders of PHP files. Links are resolved before the comparison. A file "
    "that is not on this machine is compared as it is written |\n"
    "| `http_hosts` | the hosts of http topics and the addresses of pools. A `unix:` socket of an "
    "http pool must always be named there |\n"
    "\n"
    "Link-local addresses (169.254.0.0/16, fe80::/10) are never allowed in shared sections. They "
    "serve the machine alone, for\n"
    "example with its credentials. The rule looks at addresses in every way of writing them. It "
    "does not look up names.\n"
    "When a name of an http worker leads to such an address, the http plugin does not connect to "
    "it. "
    "That holds for the node's\n"
    "own sections, too. There the address itself can be written instead of the name.\n"
    "\n"
    "**When something does not fit.** `pepperbusctl config apply` refuses a text that is not "
    "valid, or that the node which it asks\n"
    "does not allow. Then nothing changes. The other nodes read the new revision by themselves. "
    "They do not stop for one topic:\n"
    "\n"
    "| found on the node | then |\n"
    "| --- | --- |\n"
    "| a plugin, pool, storage, file or key is missing, or a rule of the node forbids it | the "
    "topics that need it are `broken` on this node, with the reason. Their jobs are kept. "
    "Everything else runs |\n"
    "| the storage of a topic is missing | the same, and producers of its queue get an error from "
    "this node, because it could not keep their jobs |\n"
    "| the text is not valid for the release of the node | the node keeps the revision that it ran "
    "before, and says why |\n"
    "\n"
    "**Secrets.** The shared configuration has no secret in clear. Passwords of queues, topics and "
    "users become hashes. Other\n"
    "secrets, for example the password of Redis, are encrypted with the key of the cluster "
    "(`[cluster] key_file`). `********` in a\n"
    "text means that the secret stays as it is. If the address of a section or its TLS check "
    "changes, its secrets must be given\n"
    "again, so that nobody can send them elsewhere.\n"
    "\n"
    "## Sections\n";

void settings_reference(const struct settings_types *types, FILE *out) {
  fputs(introduction, out);
  for (int id = 0; id < KINDS; id++) {
    const struct kind *k = kind_get((enum kind_id)id);
    fprintf(out, "\n### [%s%s]\n", k->name,
            !k->example   ? ""
            : id == TOPIC ? " QUEUE/TOPIC"
                          : " NAME");
    fprintf(out, "\n%s\n", k->help);
    bool begun = false;
    for (const struct pb_option *o = NULL; (o = option_next(k->options, o));) {
      if (is_shared(k, o)) continue;
      if (!begun) table_head(out);
      begun = true;
      option_reference(k, o, out);
    }
    if (shared_named(k, "`", out)) fputs("[" SHARED_TITLE "](#keys-of-several-sections).\n", out);
    transports_print(types, (enum kind_id)id, reference_group, option_reference, out);
  }
  fputs("\n### " SHARED_TITLE "\n", out);
  shared_print("`", table_head, option_reference, out);
}

/* Manual page. */

/* What Markdown would take for emphasis; `pepperbusctl passwd` and such in bold. */
static void man_text(const char *text, FILE *out) {
  for (; *text; text++) {
    if (*text == '`') {
      fputs("**", out);
      continue;
    }
    if (strchr("_*\\<>", *text)) putc('\\', out);
    putc(*text, out);
  }
}

static void option_manual(const struct kind *k, const struct pb_option *o, FILE *out) {
  char range[160];
  option_range_text(o, range, sizeof range);
  fputs("\n**", out);
  man_text(o->name, out);
  fprintf(out, "** (%s", option_type_name(o));
  if (*range) fprintf(out, "%s%s", o->type == PB_OPT_CHOICE ? ": " : ", ", range);
  fputs(")\n: ", out);
  const char *title = option_title(k, o);
  if (title) fprintf(out, "*%s.* ", title);
  if (o->flags & PB_OPT_DEPRECATED) fputs("Deprecated. ", out);
  if (o->help) man_text(o->help, out);
  if (o->flags & PB_OPT_REQUIRED) fputs(" Required.", out);
  if (o->def && *o->def) {
    fputs(" Default: *", out);
    man_text(o->def, out);
    fputs("*.", out);
  }
  if (o->flags & PB_OPT_SECRET) fputs(" Never shown.", out);
  if (o->flags & PB_OPT_LOCAL) fputs(" In a file of the node only.", out);
  putc('\n', out);
}

static void manual_group(const struct settings_types *types, uint64_t mask, FILE *out) {
  group_head(types, mask, "*", out);
}

void settings_manual(const struct settings_types *types, FILE *out) {
  fputs("# SECTIONS\n", out);
  for (int id = 0; id < KINDS; id++) {
    const struct kind *k = kind_get((enum kind_id)id);
    fprintf(out, "\n## [%s%s]\n\n", k->name,
            !k->example   ? ""
            : id == TOPIC ? " QUEUE/TOPIC"
                          : " NAME");
    man_text(k->help, out);
    putc('\n', out);
    for (const struct pb_option *o = NULL; (o = option_next(k->options, o));)
      if (!is_shared(k, o)) option_manual(k, o, out);
    if (shared_named(k, "**", out)) fputs("*" SHARED_TITLE "*.\n", out);
    transports_print(types, (enum kind_id)id, manual_group, option_manual, out);
  }
  fputs("\n## " SHARED_TITLE "\n", out);
  shared_print("**", NULL, option_manual, out);
}
