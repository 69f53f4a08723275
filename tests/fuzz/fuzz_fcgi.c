/* Whatever comes from a FastCGI server: records, then the CGI reply within.
 *
 * The first byte of the input chooses how the rest is cut into pieces, so that every state is
 * entered at every byte. The same input in one piece and in pieces must come to the same end.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/fuzz_fcgi.c
 *   cc -DFUZZ_STANDALONE ...; fuzz_fcgi tests/fuzz/corpus/fcgi    runs the corpus once
 */
#include "plugins/fastcgi/fcgi_proto.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
  enum fcgi_event event;
  int rc, code, status;
  size_t len, err_len, used;
};

static struct end run(const uint8_t *data, size_t size, size_t step) {
  struct end end = {0};
  struct fcgi_reader reader;
  struct fcgi_reply reply;
  struct fcgi_tail tail = {0};

  fcgi_reader_init(&reader);
  fcgi_reply_init(&reply, 70000);
  for (size_t at = 0; at < size && end.event == FCGI_MORE && !end.rc; at += step) {
    const uint8_t *p = data + at, *stop = data + (size - at < step ? size : at + step), *piece;
    size_t len = 0;

    do {
      end.event = fcgi_reader_next(&reader, &p, stop, &piece, &len);
      if (end.event == FCGI_OUT) end.rc = fcgi_reply_feed(&reply, piece, len);
      if (end.event == FCGI_ERR) fcgi_tail_feed(&tail, piece, len);
    } while (!end.rc && (end.event == FCGI_OUT || end.event == FCGI_ERR));
    end.used = (size_t)(p - data);
  }
  if (end.event == FCGI_END && !end.rc) end.rc = fcgi_reply_finish(&reply);
  if (end.event == FCGI_BAD && !reader.bad[0]) __builtin_trap();
  if (end.rc && !reply.bad[0]) __builtin_trap();
  if (!end.rc) {
    end.code = reply.code;
    end.status = reply.status;
    end.len = reply.len;
    if (reply.topics && reply.topics + strlen(reply.buf + reply.topics) >= reply.len)
      __builtin_trap();
    if (reply.body > reply.len || reply.len - reply.body > FCGI_HEAD_MAX + 70000) __builtin_trap();
  }
  end.err_len = tail.len;
  fcgi_reply_done(&reply);
  fcgi_tail_done(&tail);
  return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct end whole, cut;

  if (!size) return 0;
  whole = run(data + 1, size - 1, size);
  cut = run(data + 1, size - 1, (size_t)data[0] + 1);
  if (whole.rc != cut.rc || whole.code != cut.code || whole.status != cut.status ||
      whole.len != cut.len)
    __builtin_trap();
  if (!whole.rc &&
      (whole.event != cut.event || whole.used != cut.used || whole.err_len != cut.err_len))
    __builtin_trap();
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
