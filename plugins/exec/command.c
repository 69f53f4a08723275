/* Owns the reading of command lines. No I/O. */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void command_free(char **words) {
  for (char **w = words; w && *w; w++) free(*w);
  free(words);
}

static int fault(struct pb_err *err, const char *line, const char *why) {
  snprintf(err->text, sizeof err->text, "\"%.200s\" %s", line, why);
  return -EINVAL;
}

/* A word that only a shell would understand: it would silently reach the program as text. */
static bool of_shell(const char *word) {
  static const char *const words[] = {"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1"};

  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(word, words[i]) == 0) return true;
  return false;
}

/* Copies one word from *at on to `out` (as long as the line). True where no quote was in it. */
static int take_word(const char **at, char *out, size_t *ret_len, bool *ret_plain) {
  const char *p = *at;
  size_t n = 0;
  char quote = 0;

  *ret_plain = true;
  for (; *p && (quote || !blank(*p)); p++) {
    if (quote && *p == quote) {
      quote = 0;
    } else if (!quote && (*p == '\'' || *p == '"')) {
      quote = *p;
      *ret_plain = false;
    } else if (*p == '\\' && quote != '\'' && (!quote || p[1] == '"' || p[1] == '\\')) {
      if (!*++p) return -EINVAL;
      *ret_plain = false;
      out[n++] = *p;
    } else {
      out[n++] = *p;
    }
  }
  out[n] = 0;
  *at = p;
  *ret_len = n;
  return quote ? -EILSEQ : 0;
}

int command_split(const char *line, char ***ret_words, struct pb_err *err) {
  size_t len = strlen(line), n = 0;
  char **words = calloc(len / 2 + 2, sizeof *words), *word = malloc(len + 1);
  const char *p = line;
  int rc = -ENOMEM;

  if (!words || !word) goto out;
  for (;;) {
    size_t word_len;
    bool plain;

    while (blank(*p)) p++;
    if (!*p) break;
    rc = take_word(&p, word, &word_len, &plain);
    if (rc == -EILSEQ)
      rc = fault(err, line, "has a quote that does not end; close it");
    else if (rc < 0)
      rc = fault(err, line, "ends with a backslash; a backslash is written \\\\");
    else if (plain && of_shell(word))
      rc = fault(err, line, "needs a shell, and none runs it; write sh -c \"...\"");
    if (rc < 0) goto out;
    words[n] = strdup(word);
    if (!words[n++]) {
      rc = -ENOMEM;
      goto out;
    }
  }
  rc = n && *words[0] ? 0 : fault(err, line, "names no program");
out:
  free(word);
  if (rc < 0) {
    if (rc == -ENOMEM) snprintf(err->text, sizeof err->text, "no memory");
    command_free(words);
    return rc;
  }
  *ret_words = words;
  return 0;
}

static const char *value_of(const struct command_values *v, char letter) {
  switch (letter) {
  case '%':
    return "%";
  case 'q':
    return v->queue;
  case 't':
    return v->topic;
  case 'h':
    return v->host;
  case 'p':
    return v->port;
  case 'a':
    return v->password;
  default:
    return NULL;
  }
}

static int fill_word(char **word, const struct command_values *v, struct pb_err *err) {
  size_t len = 0, n = 0;
  char *out;

  for (const char *p = *word; *p; p++) {
    const char *value = *p == '%' ? value_of(v, p[1]) : NULL;

    if (*p == '%' && !value) {
      snprintf(err->text, sizeof err->text,
               "%%%.1s is not known; %%q queue, %%t topic, %%h host, %%p port, %%a password, and "
               "%%%% a percent sign are",
               p + 1);
      return -EINVAL;
    }
    len += value ? strlen(value) : 1;
    p += value != NULL;
  }
  out = malloc(len + 1);
  if (!out) return -ENOMEM;
  for (const char *p = *word; *p; p++) {
    const char *value = *p == '%' ? value_of(v, p[1]) : NULL;
    size_t value_len = value ? strlen(value) : 1;

    memcpy(out + n, value ? value : p, value_len);
    n += value_len;
    p += value != NULL;
  }
  out[n] = 0;
  free(*word);
  *word = out;
  return 0;
}

int command_fill(char **words, const struct command_values *v, struct pb_err *err) {
  for (char **w = words; *w; w++) {
    int rc = fill_word(w, v, err);

    if (rc < 0) return rc;
  }
  return 0;
}

bool command_shows_password(const char *line) {
  for (const char *p = strchr(line, '%'); p && p[1]; p = strchr(p + 2, '%'))
    if (p[1] == 'a') return true;
  return false;
}
