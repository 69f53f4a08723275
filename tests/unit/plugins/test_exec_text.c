/* What the exec transport reads and keeps as text: command lines, answer lines, output's end. */
#include "plugins/exec/command.c"
#include "plugins/exec/reply.c"
#include "plugins/exec/tail.c"

#include "tap.h"

static const char *joined(const char *line, char *ret, size_t size) {
  struct pb_err err = {.text = ""};
  char **words;
  size_t n = 0;

  if (command_split(line, &words, &err) < 0) {
    snprintf(ret, size, "%s", err.text);
    return ret;
  }
  ret[0] = 0;
  for (char **w = words; *w; w++) n += (size_t)snprintf(ret + n, size - n, "[%s]", *w);
  command_free(words);
  return ret;
}

static void test_split(void) {
  static const struct {
    const char *line, *want;
  } rows[] = {
      {"/bin/true", "[/bin/true]"},
      {"  php   /srv/w.php\t-q msg ", "[php][/srv/w.php][-q][msg]"},
      {"sh -c 'echo \"$X\"; exit 3'", "[sh][-c][echo \"$X\"; exit 3]"},
      {"a \"b c\"d 'e'\"f\"", "[a][b cd][ef]"},
      {"a \"\" ''", "[a][][]"},
      {"a \"\\\"\\\\\\n\"", "[a][\"\\\\n]"},
      {"a\\ b c\\'d", "[a b][c'd]"},
      {"a 'b\\'", "[a][b\\]"},
      {"a '|' \\>", "[a][|][>]"},
      {"a|b x>y", "[a|b][x>y]"},
  };
  static const struct {
    const char *line, *why;
  } bad[] = {
      {"", "names no program"},
      {"   ", "names no program"},
      {"'' a", "names no program"},
      {"a 'b", "quote that does not end"},
      {"a \"b\\\"", "quote that does not end"},
      {"a b\\", "ends with a backslash"},
      {"a | b", "needs a shell"},
      {"a >> b", "needs a shell"},
  };
  char text[600];

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    is_str(joined(rows[i].line, text, sizeof text), rows[i].want, "words of: %s", rows[i].line);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ok(strstr(joined(bad[i].line, text, sizeof text), bad[i].why), "refused (%s): %s", bad[i].why,
       bad[i].line);
}

static void test_fill(void) {
  const struct command_values v = {"msg", "re ply", "127.0.0.1", "12017", "s%q"};
  struct pb_err err = {.text = ""};
  char **words;

  is_int(command_split("w -q %q/%t -h%h -p %p -a %a 100%%", &words, &err), 0, "a template");
  is_int(command_fill(words, &v, &err), 0, "is filled");
  is_str(words[2], "msg/re ply", "a value with a blank stays one word");
  is_str(words[3], "-h127.0.0.1", "within a word");
  is_str(words[7], "s%q", "what a value holds is no template");
  is_str(words[8], "100%", "%%%% is a percent sign");
  command_free(words);
  is_int(command_split("w %x", &words, &err), 0, "an unknown letter");
  is_int(command_fill(words, &v, &err), -EINVAL, "is refused");
  ok(strstr(err.text, "%x is not known"), "with a sentence");
  command_free(words);
  is_int(command_split("w 100%", &words, &err), 0, "a lone percent sign");
  is_int(command_fill(words, &v, &err), -EINVAL, "is refused");
  command_free(words);
  ok(command_shows_password("w -a %a") && command_shows_password("%%%a"), "%%a is noticed");
  ok(!command_shows_password("w %%a 5%") && !command_shows_password("w"), "%%%%a is not %%a");
}

/* From memory of just this size, so that the sanitizer sees any read beyond. */
static int parse(const char *text, char **ret_line, struct reply *r) {
  size_t len = strlen(text);

  *ret_line = malloc(len + !len);
  memcpy(*ret_line, text, len);
  return reply_parse(*ret_line, len, r);
}

static void is_slice(const struct slice *s, const char *want, const char *name) {
  is_mem(s->at ? s->at : "", s->len, want, strlen(want), "%s", name);
}

static void test_reply(void) {
  static const char *const noise[] = {
      "",
      "{",
      "}",
      "{}",
      "[]",
      "200",
      "PHP Notice: x",
      "{\"msg\":\"x\"}",
      "{\"code\":\"200\"}",
      "{\"code\":2.5}",
      "{\"code\":99999999999}",
      "{\"code\":}",
      "{\"code\":200",
      "{\"code\":200}}",
      "{\"code\":200} x",
      "{\"code\":200,}",
      "{code:200}",
      "{\"code\":200,\"a\":[{]}}",
      "{\"code\":200,\"a\":\"b}",
      "{\"code\":200,\"a\":\"b\\\"}",
      "{\"code\" 200}",
  };
  struct reply r;
  char *line;

  is_int(parse("{\"code\":200}", &line, &r), 0, "the shortest answer");
  is_int(r.code, 200, "its code");
  ok(!r.msg.at && !r.jobs.at && !r.topics.at, "and nothing else");
  free(line);
  is_int(parse(" {\"msg\" : \"a\\n\\\"b\\\" \\u00e4\\ud83d\\ude00\" , \"x\":{\"code\":1}, \"code\" "
               ": -5 } ",
               &line, &r),
         0, "blanks, another order, other members");
  is_int(r.code, -5, "the code of the top level");
  is_slice(&r.msg, "a\n\"b\" ä😀", "escapes are undone");
  free(line);
  is_int(parse("{\"code\":500,\"msg\":\"\\ud83d x \\udc00 \\uzz\"}", &line, &r), 0,
         "broken escapes");
  is_slice(&r.msg, "\xef\xbf\xbd x \xef\xbf\xbd ?zz", "become replacement characters");
  free(line);
  is_int(parse("{\"code\":207,\"jobs\":[{\"id\":\"1\",\"msg\":\"]\\\"\"}],\"topics\":[\"a/b\"],"
               "\"outTraceId\":\"7\",\"error_code\":\"E\\/1\"}",
               &line, &r),
         0, "all members");
  is_slice(&r.jobs, "[{\"id\":\"1\",\"msg\":\"]\\\"\"}]", "jobs as they stand");
  is_slice(&r.topics, "[\"a/b\"]", "topics too");
  is_slice(&r.trace, "7", "whose answer it is");
  is_slice(&r.error_code, "E/1", "the error code");
  free(line);
  is_int(parse("{\"code\":200,\"msg\":{\"a\":[1,2]}}", &line, &r), 0, "a message that is no text");
  is_slice(&r.msg, "{\"a\":[1,2]}", "is shown as it stands");
  free(line);
  for (size_t i = 0; i < sizeof noise / sizeof *noise; i++) {
    is_int(parse(noise[i], &line, &r), -ENOMSG, "noise: %s", noise[i]);
    free(line);
  }
}

static void test_tail(void) {
  struct tail t;
  const char *text;
  char byte[2] = "";
  size_t len;

  tail_init(&t, 10);
  is_str((tail_text(&t, &len), len ? "?" : "none"), "none", "nothing was printed");
  tail_add(&t, "  hello\n", 8);
  text = tail_text(&t, &len);
  is_mem(text, len, "hello", 5, "without the blanks around it");
  ok(!t.cut, "nothing is gone");
  for (int i = 0; i < 1000; i++) {
    byte[0] = (char)('a' + i % 26);
    tail_add(&t, byte, 1);
  }
  text = tail_text(&t, &len);
  is_mem(text, len, "cdefghijkl", 10, "byte by byte: the last ten");
  ok(t.cut && t.cap <= 20, "in at most twice the memory");
  tail_add(&t, "0123456789abcdefghijklmnopqrstuvwxyz", 36);
  text = tail_text(&t, &len);
  is_mem(text, len, "qrstuvwxyz", 10, "more than fits at once");
  tail_add(&t, "ä234567890", 11);
  text = tail_text(&t, &len);
  is_mem(text, len, "234567890", 9, "it begins with a whole character");
  tail_clear(&t);
  tail_add(&t, "one\ntwo\n", 8);
  text = tail_line(&t, &len);
  is_mem(text, len, "two", 3, "the last line");
  tail_done(&t);
}

int main(void) {
  test_split();
  test_fill();
  test_reply();
  test_tail();
  return done_testing();
}
