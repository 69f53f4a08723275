/* Commands and connections over socket pairs, with an intake that answers when the test says so:
 * what is answered byte for byte, and that it comes once, in order, whatever the storage does.
 */
#include "metrics/prometheus.h"
#include "unit/fake_bus.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* --- a client --- */

static int dial_from(struct bench *b, unsigned char last) {
  int fd[2];
  struct peer peer = {.kind = PEER_IPV4, .address = {127, 0, 0, last}, .port = 4711};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd)) bail_out("socketpair");
  clients_accept(b->clients, fd[0], &peer);
  return fd[1];
}
static int dial(struct bench *b) {
  return dial_from(b, 1);
}

static void turns(struct bench *b, int n) {
  while (n--) loop_turn(b->loop, 0);
}

static void tell(struct bench *b, int fd, const char *text) {
  for (size_t len = strlen(text), at = 0; at < len;) {
    ssize_t n = write(fd, text + at, len - at);
    if (n > 0) at += (size_t)n;
    turns(b, 2);
    if (n < 0 && errno != EAGAIN) break;
  }
}

/* All that has come; "EOF" at the end where the connection was closed. */
static const char *hear(struct bench *b, int fd) {
  static char text[300000];
  size_t have = 0;
  turns(b, 3);
  for (;;) {
    ssize_t n = read(fd, text + have, sizeof text - have - 8);
    if (n > 0) {
      have += (size_t)n;
      turns(b, 1);
      continue;
    }
    text[have] = 0;
    if (n == 0) strcpy(text + have, "EOF");
    return text;
  }
}

static const char *ask(struct bench *b, int fd, const char *text) {
  tell(b, fd, text);
  return hear(b, fd);
}

/* As ask(), for an answer that is held back. */
static const char *wait_for(struct bench *b, int fd, const char *text) {
  uint64_t end = loop_clock_ms() + 60000;
  tell(b, fd, text);
  struct pollfd p = {.fd = fd, .events = POLLIN};
  while (poll(&p, 1, 0) == 0 && loop_clock_ms() < end) loop_turn(b->loop, 50);
  return hear(b, fd);
}

#define NOAUTH "-NOAUTH Authentication required.\r\n"
#define STORED(id)                                                                                 \
  "$59\r\n{\"jobs\":[\"" id "\"],\"inTraceId\":\"42-2130706433-12017\",\"error\":\"\"}\r\n"

/* --- who --- */

static void passwords(void) {
  struct bench *b = bench_new();
  int fd = dial(b);
  is_str(ask(b, fd, "PING\r\n"), NOAUTH, "PING before AUTH");
  is_str(ask(b, fd, "NOSUCH\r\n"), NOAUTH, "anything before AUTH");
  is_str(wait_for(b, fd, "AUTH msg:wrong\r\n"), "-ERR invalid password\r\n", "wrong");
  is_str(wait_for(b, fd, "AUTH nosuch:secret\r\n"), "-ERR invalid password\r\n", "no such queue");
  is_str(wait_for(b, fd, "AUTH secret\r\n"), "-ERR invalid password\r\n", "no queue");
  is_str(ask(b, fd, "AUTH msg:secret\r\nPING\r\n"), "+OK\r\n+PONG\r\n", "AUTH queue:password");
  is_str(ask(b, fd, "AUTH a:b:p:q\r\n"), "+OK\r\n", "colons in name and password");
  like(wait_for(b, fd, "AUTH msg wrong\r\n"), "-WRONGPASS ", "two arguments, wrong");
  is_str(ask(b, fd, "PING\r\n"), "+PONG\r\n", "a failed AUTH takes nothing away");
  close(fd);
  static const char *const forms[] = {"AUTH msg secret\r\n", "AUTH default msg:secret\r\n",
                                      "AUTH msg/reply own\r\n", "AUTH msg/reply:own\r\n",
                                      "*2\r\n$4\r\nauth\r\n$10\r\nmsg:secret\r\n"};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    turns(b, 2);
    fd = dial(b);
    is_str(ask(b, fd, forms[i]), "+OK\r\n", "form %zu", i);
    close(fd);
  }
  turns(b, 2);
  fd = dial(b);
  like(ask(b, fd, "HELLO 3 AUTH msg secret SETNAME me\r\n"), "%7\r\n$6\r\nserver\r\n",
       "HELLO AUTH");
  is_str(ask(b, fd, "CLIENT GETNAME\r\n"), "$2\r\nme\r\n", "SETNAME");
  like(ask(b, fd, "HELLO\r\n"), "*3\r\n:1\r\n$40\r\n", "HELLO alone is Disque's");
  is_str(ask(b, fd, "RESET\r\nPING\r\n"), "+RESET\r\n" NOAUTH, "RESET forgets");
  is_str(ask(b, fd, "QUIT\r\nPING\r\n"), "+OK\r\nEOF", "QUIT");
  close(fd);
  bench_free(b);
}

/* @case X1: a right password is answered at once whatever others do; wrong ones wait */
static void wrong_ones(void) {
  struct bench *b = bench_new();
  int fd = dial(b), other = dial(b);
  tell(b, fd, "AUTH msg:guess\r\nPING\r\n");
  is_str(hear(b, fd), "", "the answer to a wrong one waits, and what follows it");
  is_str(ask(b, other, "AUTH msg:secret\r\n"), "+OK\r\n", "the right one does not");
  is_str(wait_for(b, fd, ""), "-ERR invalid password\r\n" NOAUTH, "in order");
  for (int i = 0; i < 30; i++) { /* who hangs up without waiting has been counted */
    int guesser = dial(b);
    tell(b, guesser, i & 1 ? "AUTH msg:guess\r\n" : "HELLO 3 AUTH msg/reply guess\r\n");
    close(guesser);
    turns(b, 2);
    while (metrics_clients(b->metrics)->open > 2) loop_turn(b->loop, 50);
  }
  is_str(ask(b, other, "AUTH a:b:p:q\r\n"), "+OK\r\n", "after 31 wrong ones: another queue's");
  is_str(ask(b, fd, "AUTH msg:secret\r\nPING\r\n"), "+OK\r\n+PONG\r\n", "and its own");
  is_str(ask(b, fd, "AUTH msg/reply own\r\n"), "+OK\r\n", "and its topic's");
  is_int((int)metrics_clients(b->metrics)->refused_auth, 31, "counted");
  close(fd);
  close(other);
  bench_free(b);
}

/* @case X1: ten wrong passwords on one connection close it, sent one by one or all together */
static void ten_wrong(void) {
  struct bench *b = bench_new();
  struct buf text = {0}, answers = {0};
  b->set->auth_attempts = 1000;
  int fd = dial(b);
  is_str(ask(b, fd, "AUTH msg:secret\r\n"), "+OK\r\n", "one that has authenticated");
  for (int i = 0; i < 12; i++) {
    buf_add_text(&text, i & 1 ? "AUTH msg no\r\n" : "AUTH nosuch/topic:no\r\n");
    if (i < 10)
      buf_add_text(&answers, i & 1 ? "-WRONGPASS invalid username-password pair or user is "
                                     "disabled.\r\n"
                                   : "-ERR invalid password\r\n");
  }
  buf_add_text(&answers, "EOF");
  tell(b, fd, buf_text(&text));
  char all[2000] = "";
  uint64_t end = loop_clock_ms() + 60000;
  while (!strstr(all, "EOF") && loop_clock_ms() < end) {
    size_t n = strlen(all);
    loop_turn(b->loop, 50);
    snprintf(all + n, sizeof all - n, "%s", hear(b, fd));
  }
  is_str(all, buf_text(&answers), "ten answers, then the end");
  is_int((int)metrics_clients(b->metrics)->refused_auth_rate, 1, "counted");
  buf_free(&text);
  buf_free(&answers);
  close(fd);
  bench_free(b);
}

/* @case X1: who guesses makes room for who comes when max_clients is reached */
static void room(void) {
  struct bench *b = bench_new();
  int guesser[3];
  b->set->auth_attempts = 1;
  for (int i = 0; i < 3; i++) {
    guesser[i] = dial(b);
    tell(b, guesser[i], "AUTH msg:guess\r\n");
    shutdown(guesser[i], SHUT_WR); /* no more will come: it has a state of its own */
    turns(b, 2);
  }
  int fd = dial(b);
  is_str(ask(b, fd, "AUTH msg:secret\r\n"), "+OK\r\n", "the right one gets in");
  is_str(hear(b, guesser[0]), "EOF", "the first guesser had to go");
  close(fd);
  turns(b, 2);
  close(guesser[0]);
  guesser[0] = dial(b);
  tell(b, guesser[0], "AUTH msg:guess\r\n");
  fd = dial(b);
  is_str(ask(b, fd, "AUTH msg:secret\r\n"), "+OK\r\n", "and again");
  for (int i = 0; i < 3; i++) close(guesser[i]);
  close(fd);
  bench_free(b);
}

/* @case X7: one client's many commands do not keep another one's single command waiting */
static void fair(void) {
  struct bench *b = bench_new();
  struct buf text = {0};
  b->set->max_output = 64 << 20;
  b->set->max_inflight = 100000;
  int fd = dial(b), other = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  ask(b, other, "AUTH msg:secret\r\n");
  for (int i = 0; i < 3000; i++) buf_add_text(&text, "INFO\r\n");
  uint64_t before = metrics_clients(b->metrics)->commands;
  ssize_t n = write(fd, buf_text(&text), text.len);
  ok(n == (ssize_t)text.len, "3000 INFO");
  loop_turn(b->loop, 0); /* a slice of them */
  n = write(other, "PING\r\n", 6);
  char got[8] = "";
  for (int i = 0; i < 3 && !*got; i++) {
    loop_turn(b->loop, 0);
    n = read(other, got, 7);
  }
  is_int(strncmp(got, "+PONG", 5), 0, "the other one is answered");
  uint64_t run = metrics_clients(b->metrics)->commands - before;
  ok(run > 1 && run < 3001, "before they are all run (%d were)", (int)run);
  uint64_t end = loop_clock_ms() + 60000;
  while (metrics_clients(b->metrics)->commands - before < 3001 && loop_clock_ms() < end) {
    static char bin[300000];
    loop_turn(b->loop, 0);
    while (read(fd, bin, sizeof bin) > 0) continue;
  }
  is_int((int)(metrics_clients(b->metrics)->commands - before), 3001, "and all of them are");
  buf_free(&text);
  close(fd);
  close(other);
  bench_free(b);
}

/* @case X6: what a stranger may have here is little, whatever he sends and does not read */
static void strangers_memory(void) {
  struct bench *b = bench_new();
  struct buf text = {0};
  int fd = dial(b);
  for (int i = 0; i < 8000; i++) buf_add_text(&text, "PING\r\n");
  size_t at = 0;
  for (int i = 0; i < 200; i++) { /* the kernel has its part of it */
    ssize_t n = write(fd, text.data + at, text.len - at);
    if (n > 0) at = (at + (size_t)n) % text.len;
    turns(b, 3);
  }
  struct mallinfo2 m = mallinfo2();
  for (int i = 0; i < 200; i++) turns(b, 1);
  ok(mallinfo2().uordblks <= m.uordblks + 65536, "not more with time");
  uint64_t run = metrics_clients(b->metrics)->commands;
  for (int i = 0; i < 50; i++) turns(b, 1);
  is_int((int)(metrics_clients(b->metrics)->commands - run), 0, "he is not read from");
  is_str(ask(b, dial(b), "AUTH msg:secret\r\n"), "+OK\r\n", "others are");
  buf_free(&text);
  close(fd);
  bench_free(b);
}

/* @case X2: a line of HTTP or the first byte of TLS ends the connection; nothing behind it is run
 */
static void strange_protocols(void) {
  static const char *const lines[] = {"POST / HTTP/1.1\r\n",
                                      "post x\r\n",
                                      "Host: 127.0.0.1:12017\r\n",
                                      "GET / HTTP/1.1\r\n",
                                      "GET /\r\n",
                                      "PUT /x HTTP/1.0\r\n",
                                      "HEAD http://x/\r\n",
                                      "OPTIONS *\r\n",
                                      "CONNECT a:1 HTTP/1.1\r\n",
                                      "PRI * HTTP/2.0\r\n",
                                      "Origin: null\r\n",
                                      "X-Any:thing\r\n",
                                      "\x16\x03\x01\x02\r\n",
                                      "\x80\x2e\x01\r\n",
                                      "*2\r\n$4\r\nPOST\r\n$1\r\n/\r\n",
                                      "*1\r\n$5\r\nhost:\r\n",
                                      "\x16",
                                      " \x16\x03\r\n"};
  struct bench *b = bench_new();
  for (size_t i = 0; i < 2 * sizeof lines / sizeof *lines; i++) {
    char text[300];
    int fd = dial(b);
    bool known = i & 1; /* before AUTH and after it, within a pipeline */
    snprintf(text, sizeof text, "%s%sLPUSH msg evil\r\nAUTH msg:secret\r\nLPUSH msg evil\r\n",
             known ? "AUTH msg:secret\r\nPING\r\n" : "", lines[i / 2]);
    is_str(ask(b, fd, text), known ? "+OK\r\n+PONG\r\nEOF" : "EOF", "line %zu, %s AUTH", i / 2,
           known ? "after" : "before");
    close(fd);
    while (metrics_clients(b->metrics)->open) loop_turn(b->loop, 50);
  }
  is_int((int)b->intake->jobs, 0, "no job came of any");
  ok(metrics_clients(b->metrics)->protocol_errors == 2 * sizeof lines / sizeof *lines, "counted");
  int fd = dial(b);
  is_str(ask(b, fd, "AUTH msg:secret\r\nGET key\r\n*2\r\n$3\r\nGET\r\n$1\r\n/\r\n"),
         "+OK\r\n-ERR unknown command 'GET'\r\n-ERR unknown command 'GET'\r\n",
         "GET of a Redis client is a command that there is not");
  close(fd);
  bench_free(b);
}

static void grants(void) {
  struct bench *b = bench_new();
  int fd = dial(b);
  is_str(ask(b, fd, "AUTH msg/reply own\r\nLPUSH msg x\r\n"),
         "+OK\r\n$89\r\n{\"jobs\":null,\"inTraceId\":\"42-2130706433-12017\",\"error\":\"NOAUTH "
         "Authentication required.\"}\r\n",
         "a topic's password does not add");
  is_str(ask(b, fd, "RPOP a:b/t\r\n"), NOAUTH, "nor take from another topic");
  tell(b, fd, "RPOP msg/reply\r\nPING\r\n");
  is_str(hear(b, fd), "", "RPOP waits, and what follows it too");
  answer(b->intake, 0, INTAKE_OK, "{\"jobs\":[{}]}");
  is_str(hear(b, fd), "$13\r\n{\"jobs\":[{}]}\r\n+PONG\r\n", "a job");
  tell(b, fd, "RPOP msg/reply\r\n");
  answer(b->intake, 0, INTAKE_OK, NULL);
  is_str(hear(b, fd), "$-1\r\n", "none there");
  tell(b, fd, "RPOP msg/reply\r\n");
  answer(b->intake, 0, INTAKE_STORAGE, "storage main is away");
  is_str(hear(b, fd), "-STORAGE storage main is away\r\n", "a failure");
  like(ask(b, fd, "RPOP msg/reply 2\r\n"), "-ERR RPOP takes one", "no count");
  close(fd);
  bench_free(b);
}

/* --- jobs --- */

static void pushes(void) {
  struct bench *b = bench_new();
  int fd = dial(b);
#define FAILED(n, error)                                                                           \
  "$" n "\r\n{\"jobs\":null,\"inTraceId\":\"42-2130706433-12017\",\"error\":\"" error "\"}\r\n"
  ask(b, fd, "AUTH msg:secret\r\n");
  is_str(ask(b, fd, "LPUSH\r\n"), FAILED("70", "Invalid Args"), "no arguments");
  is_str(ask(b, fd, "LPUSH msg\r\n"), FAILED("68", "empty jobs"), "no jobs: one reply");
  is_str(ask(b, fd, "LPUSH /t x\r\n"), FAILED("98", "ParseJob fail: invalid job meta info: /t"),
         "no queue");
  is_str(ask(b, fd, "LPUSH b@d x\r\n"), FAILED("99", "ParseJob fail: invalid job meta info: b@d"),
         "bad characters");
  is_str(ask(b, fd, "LPUSH nosuch/x y\r\n"), FAILED("89", "queue or Topic not exist nosuch"),
         "no such queue");
  tell(b, fd, "LPUSH msg/any one\r\n");
  is_str(hear(b, fd), "", "nothing before the storage answers");
  answer(b->intake, 0, INTAKE_OK, NULL);
  is_str(hear(b, fd), STORED("1"), "stored");
  tell(b, fd, "rpush msg a b c\r\n");
  answer(b->intake, 0, INTAKE_OK, NULL);
  is_str(
      hear(b, fd),
      "$67\r\n{\"jobs\":[\"2\",\"3\",\"4\"],\"inTraceId\":\"42-2130706433-12017\",\"error\":\"\"}"
      "\r\n",
      "three of them");
  tell(b, fd, "LPUSH msg x\r\n");
  answer(b->intake, 0, INTAKE_STORAGE, "it \"broke\"");
  is_str(hear(b, fd), FAILED("70", "it \\\"broke\\\""), "not stored");
  char long_job[2000];
  snprintf(long_job, sizeof long_job, "*3\r\n$5\r\nLPUSH\r\n$3\r\nmsg\r\n$1001\r\n%01001d\r\n", 7);
  like(ask(b, fd, long_job), "job too large: 1001 bytes, max_job_size is 1000", "too large");
  is_str(ask(b, fd, "PING\r\n"), "+PONG\r\n", "the connection goes on");
  is_int((int)metrics_clients(b->metrics)->over_job_size, 1, "counted");
  close(fd);
  bench_free(b);
}

static void addjob(void) {
  struct bench *b = bench_new();
  struct intake *in = b->intake;
  int fd = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  tell(b, fd,
       "ADDJOB msg body 500 DELAY 3 RETRY 7 TTL 60 MAXLEN 9 REPLICATE 3 ASYNC ID a.b:c-1\r\n");
  ok(in->options.delay_ms == 3000 && in->options.own_retry && in->options.retry_ms == 7000 &&
         in->options.ttl_ms == 60000 && in->options.max_length == 9 && in->options.replicate == 2 &&
         in->options.replicate_ms == 500,
     "options");
  is_str(in->token, "a.b:c-1", "token");
  is_str(in->content, "body", "content");
  answer(in, 0, INTAKE_OK, NULL);
  is_str(hear(b, fd), "$40\r\nD-0000000000000001-00pepperbus0000000000\r\n", "Disque's id");
  tell(b, fd, "ADDJOB msg b 0 RETRY 0\r\n");
  ok(in->options.own_retry && in->options.retry_ms == UINT64_MAX, "RETRY 0: none by itself");
  answer(in, 0, INTAKE_FULL, "the queue is full");
  is_str(hear(b, fd), "-FULL the queue is full\r\n", "full");
  static const char *const bad[][2] = {
      {"ADDJOB msg b\r\n", "-ERR wrong number of arguments for 'addjob' command\r\n"},
      {"ADDJOB msg b x\r\n", "-ERR timeout is not an integer or out of range\r\n"},
      {"ADDJOB msg b 0 DELAY\r\n", "-ERR syntax error\r\n"},
      {"ADDJOB msg b 0 FOO 1\r\n", "-ERR syntax error\r\n"},
      {"ADDJOB msg b 0 DELAY -1\r\n", "-ERR DELAY must be a number >= 0\r\n"},
      {"ADDJOB msg b 0 TTL 0\r\n", "-ERR TTL must be a number > 0\r\n"},
      {"ADDJOB msg b 0 TTL 99999999999999999999\r\n", "-ERR TTL must be a number > 0\r\n"},
      {"ADDJOB msg b 0 ID a@b\r\n",
       "-ERR ID must be 1 to 64 letters, digits, '_', '.', ':' or '-'\r\n"},
      {"ADDJOB msg b 0 ID a IDTTL 9\r\n", "-ERR IDTTL must be between 10 and 86400\r\n"},
      {"ADDJOB a:b b 0\r\n", NOAUTH},
      {"ADDJOB nosuch b 0\r\n", "-NOQUEUE queue or Topic not exist nosuch\r\n"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    is_str(ask(b, fd, bad[i][0]), bad[i][1], "refused: %zu", i);
  close(fd);
  bench_free(b);
}

static void order(void) {
  struct bench *b = bench_new();
  int fd = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  tell(b, fd, "LPUSH msg a\r\nPING\r\nLPUSH msg b\r\nLPUSH msg c\r\nPING x\r\n");
  answer(b->intake, 2, INTAKE_OK, NULL);
  answer(b->intake, 1, INTAKE_OK, NULL);
  is_str(hear(b, fd), "", "the first one's answer is awaited");
  answer(b->intake, 0, INTAKE_OK, NULL);
  is_str(hear(b, fd), STORED("3") "+PONG\r\n" STORED("2") STORED("1") "$1\r\nx\r\n",
         "then all, in order");

  tell(b, fd, "LPUSH msg d\r\n");
  shutdown(fd, SHUT_WR);
  turns(b, 3);
  answer(b->intake, 0, INTAKE_OK, NULL);
  is_str(hear(b, fd), STORED("4") "EOF", "half closed: answered, then closed");
  close(fd);

  fd = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  tell(b, fd, "LPUSH msg e\r\nLPUSH msg f\r\n*3\r\n$5\r\nLPU");
  close(fd);
  turns(b, 3);
  answer(b->intake, 1, INTAKE_OK, NULL);
  turns(b, 2);
  answer(b->intake, 0, INTAKE_OK, NULL);
  turns(b, 2);
  is_int((int)clients_count(b->clients), 0, "gone with answers on the way");

  fd = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  tell(b, fd, "LPUSH msg g\r\n*x\r\nPING\r\n");
  turns(b, 2);
  is_str(hear(b, fd), "", "a broken request behind one that waits");
  answer(b->intake, 0, INTAKE_OK, NULL);
  is_str(hear(b, fd), STORED("7") "-ERR Protocol error: invalid multibulk length\r\nEOF",
         "both are answered, then it is closed");
  close(fd);
  bench_free(b);
}

/* --- limits --- */

static void back_pressure(void) {
  struct bench *b = bench_new();
  char all[20000] = "";
  int fd = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  for (int i = 0; i < 120; i++) strcat(all, "LPUSH msg x\r\n");
  tell(b, fd, all);
  is_int((int)b->intake->n, 50, "no more than max_inflight are run");
  size_t answered = 0;
  for (int round = 0; round < 3; round++) {
    while (b->intake->n) {
      answer(b->intake, 0, INTAKE_OK, NULL);
      answered++;
    }
    turns(b, 3);
  }
  is_int((int)answered, 120, "the others follow");
  size_t replies = 0;
  for (const char *p = hear(b, fd); (p = strstr(p, "\"error\":\"\"")); p++) replies++;
  is_int((int)replies, 120, "each is answered once");
  close(fd);

  turns(b, 2);
  fd = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  char ping[1100];
  snprintf(ping, sizeof ping, "PING %01000d\r\n", 7);
  size_t told = 0;
  int stuck = 0;
  while (stuck < 5 && told < (8 << 20)) {
    ssize_t n = write(fd, ping, strlen(ping));
    turns(b, 1);
    stuck = n < 0 ? stuck + 1 : 0;
    told += n > 0 ? (size_t)n : 0;
  }
  ok(told < (4 << 20), "who does not read is not read from (%zu bytes)", told);
  close(fd);
  turns(b, 3);
  is_int((int)clients_count(b->clients), 0, "and gone when it closes");
  bench_free(b);
}

/* Each limit on what a client sends ends in an error, the end of the connection, and a counter. */
static void refusals(void) {
  struct bench *b = bench_new();
  const struct client_counters *count = metrics_clients(b->metrics);
  static const struct {
    const char *sent, *error;
    bool auth;
  } cases[] = {
      {"*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\nEOF", false},
      {"*1\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\nEOF", false},
      {"*101\r\n", "-ERR Protocol error: invalid multibulk length, more than max_arguments\r\nEOF",
       true},
      {"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length\r\nEOF", true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int fd = dial(b);
    if (cases[i].auth) ask(b, fd, "AUTH msg:secret\r\n");
    is_str(ask(b, fd, cases[i].sent), cases[i].error, "refused: %s", cases[i].sent);
    close(fd);
    turns(b, 2);
  }
  is_int((int)count->over_unauthenticated, 2, "over_unauthenticated");
  is_int((int)count->over_arguments, 1, "over_arguments");
  is_int((int)count->protocol_errors, 4, "protocol_errors");
  bench_free(b);
}

/* Replies for who does not read them: nothing more is run from half of max_output on; one that was
 * run before may still go over it, and then the connection is cut off. */
static void output(void) {
  struct bench *b = bench_new();
  int fd = dial(b), other = dial_from(b, 2), there = 0, before = -1;
  char ping[1100], *job = malloc(110001);
  if (!job) bail_out("no memory");
  memset(job, 'x', 110000);
  job[110000] = 0;
  ask(b, other, "AUTH msg:secret\r\n");
  ask(b, fd, "AUTH msg:secret\r\n");
  tell(b, fd, "RPOP msg/reply\r\n");
  answer(b->intake, 0, INTAKE_OK, job);
  is_int((int)strlen(hear(b, fd)), 110000 + 11, "one long reply is for who reads it");
  snprintf(ping, sizeof ping, "PING %0900d\r\n", 7);
  while (there > before) { /* until the socket takes no more */
    before = there;
    tell(b, fd, ping);
    turns(b, 2);
    if (ioctl(fd, FIONREAD, &there)) bail_out("FIONREAD");
  }
  tell(b, fd, "RPOP msg/reply\r\n");
  is_int((int)b->intake->n, 1, "with little waiting for its reader, the next is run");
  answer(b->intake, 0, INTAKE_OK, job);
  turns(b, 3);
  is_int((int)clients_count(b->clients), 1, "over max_output it is cut off");
  is_int((int)metrics_clients(b->metrics)->over_output, 1, "counted");
  is_str(ask(b, other, "PING\r\n"), "+PONG\r\n", "and nobody else is");
  free(job);
  close(fd);
  close(other);
  bench_free(b);
}

static void many(void) {
  struct bench *b = bench_new();
  int fd[4];
  fd[0] = dial(b);
  ask(b, fd[0], "AUTH msg:secret\r\n");
  b->set->auth_timeout_ms = 1000;
  for (int i = 1; i < 4; i++) fd[i] = dial(b);
  is_str(hear(b, fd[3]), "-ERR max number of clients reached\r\nEOF", "one too many");
  is_int((int)metrics_clients(b->metrics)->refused_clients, 1, "counted");
  tell(b, fd[1], "*2\r\n$4\r\nAU");
  uint64_t end = loop_clock_ms() + 60000;
  while (clients_count(b->clients) > 1 && loop_clock_ms() < end) loop_turn(b->loop, 20);
  is_int((int)clients_count(b->clients), 1, "auth_timeout ends who has not authenticated");
  is_int((int)metrics_clients(b->metrics)->over_auth_time, 2, "counted");
  is_str(ask(b, fd[0], "PING\r\n"), "+PONG\r\n", "and nobody else");
  tell(b, fd[0], "LPUSH msg x\r\n");
  clients_finish(b->clients);
  turns(b, 2);
  is_int((int)clients_count(b->clients), 1, "a drain waits for the answer");
  answer(b->intake, 0, INTAKE_OK, NULL);
  is_str(hear(b, fd[0]), STORED("1") "EOF", "which still comes");
  is_int((int)clients_count(b->clients), 0, "then all are gone");
  for (int i = 0; i < 4; i++) close(fd[i]);
  bench_free(b);
}

static void information(void) {
  struct bench *b = bench_new();
  int fd = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  const char *text = ask(b, fd, "INFO\r\n");
  like(text, "# Server\r\nredis_version:7.", "a version that clients accept");
  like(text, "\r\nloading:0\r\n", "ready");
  like(ask(b, fd, "INFO clients\r\n"), "# Clients\r\nconnected_clients:1\r\n", "one section");
  is_str(ask(b, fd, "CONFIG GET save\r\n"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n", "CONFIG GET");
  is_str(ask(b, fd, "SELECT 0\r\nSELECT 1\r\n"), "+OK\r\n-ERR DB index is out of range\r\n",
         "SELECT");
  is_str(ask(b, fd, "EVAL x 0\r\n"), "-ERR unknown command 'EVAL'\r\n", "an unknown command");
  is_str(ask(b, fd, "\"a\\r\\n+OK\"\r\n"), "-ERR unknown command 'a??+OK'\r\n",
         "cannot fake a reply");
  like(ask(b, fd, "COMMAND DOCS lpush nosuch\r\n"), "*2\r\n$5\r\nlpush\r\n*6\r\n", "COMMAND DOCS");
  like(ask(b, fd, "CLIENT SETINFO LIB-NAME x\r\nCLIENT ID\r\nCLIENT NOSUCH\r\n"),
       "+OK\r\n:1\r\n-ERR unknown subcommand", "CLIENT");
  struct buf out = {0};
  struct prometheus_text *st = prometheus_new(b->metrics, (struct prometheus_form){.topics = true});
  while (prometheus_more(st, &out) > 0) {
  }
  prometheus_free(st);
  like(buf_text(&out), "\npepperbus_commands_total 12\n", "metrics");
  like(buf_text(&out), "\npepperbus_refused_total{reason=\"password\"} 0\n", "with labels");
  buf_free(&out);
  close(fd);
  bench_free(b);
}

/* @case L11: answers of a transaction are its array, in order, whenever the storage gives them. */
static void transactions(void) {
  struct bench *b = bench_new();
  struct intake *in = b->intake;
  int fd = dial(b);
  ask(b, fd, "AUTH msg:secret\r\n");
  is_str(ask(b, fd, "MULTI\r\nLPUSH msg one\r\nADDJOB msg two 0\r\nRPOP msg/reply\r\nPING\r\n"),
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n", "queued");
  is_int((int)in->n, 0, "and not run");
  is_str(ask(b, fd, "EXEC\r\nECHO behind\r\n"), "*4\r\n", "an array");
  is_int((int)in->n, 3, "all are on the way");
  answer(in, 1, INTAKE_OK, NULL);
  is_str(hear(b, fd), "", "the second answer waits for the first");
  answer(in, 0, INTAKE_OK, NULL);
  like(hear(b, fd), "\"error\":\"\"}\r\n$40\r\nD-0000000000000001", "then both come");
  answer(in, 0, INTAKE_OK, NULL);
  like(hear(b, fd), "+PONG\r\n$6\r\nbehind", "and what is behind them");
  is_str(ask(b, fd, "MULTI\r\nLPUSH msg x\r\nLPUSH\r\nEXEC\r\n"),
         "+OK\r\n+QUEUED\r\n-ERR wrong number of arguments for 'lpush' command\r\n"
         "-EXECABORT Transaction discarded because of previous errors.\r\n",
         "a fault: none is run");
  is_int((int)in->n, 0, "nor sent");
  tell(b, fd, "MULTI\r\nLPUSH msg x\r\nEXEC\r\n");
  close(fd);
  turns(b, 3);
  is_int((int)in->n, 1, "one whose client goes is stored all the same");
  answer(in, 0, INTAKE_OK, NULL);
  bench_free(b);
}

int main(void) {
  passwords();
  wrong_ones();
  ten_wrong();
  room();
  strange_protocols();
  fair();
  strangers_memory();
  grants();
  pushes();
  addjob();
  order();
  back_pressure();
  refusals();
  output();
  many();
  information();
  transactions();
  return done_testing();
}
