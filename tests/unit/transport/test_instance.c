/* Instances and their pools: opened and closed, each once, whatever the transport does meanwhile.
 */
#include "unit/transport/transport_fixture.h"

static void test_life(void) {
  begin();
  ok(fake.loads == 1 && fake.pools == 1 && fake.created == 1, "loaded, its pool opened, created");
  ok(fake.pool_conf == &pool_conf && fake.conf == &topic_conf, "with their configurations");
  ok(!strcmp(fake.info.queue, "msg") && !strcmp(fake.info.topic, "reply") &&
         fake.info.workers == 3 && fake.info.chunk == 2 && fake.info.timeout_ms == 4000,
     "and what the topic is");
  ok(snapshot.refs > 0, "the snapshot is held");

  struct topic_settings second = topic, alone = topic;
  second.path = "msg/second";
  alone.path = "msg/alone";
  alone.pool = NULL;
  struct instance *b = instance_open(tr, &snapshot, &second, on_ready, &done, &err);
  ok(b && fake.pools == 1 && fake.loads == 1, "a topic of the same pool shares it");
  struct instance *c = instance_open(tr, &snapshot, &alone, on_ready, &done, &err);
  struct instance *d = instance_open(tr, &snapshot, &alone, on_ready, &done, &err);
  ok(c && d && fake.pools == 3, "one without a pool has its own");

  fake.drain_at_once = true;
  struct pb_owner *first_owner = fake.inst;
  instance_close(d, 1000); /* fake.inst is d's */
  is_int(fake.destroyed, 0, "closing does not destroy within the call");
  turns(1);
  ok(fake.destroyed == 1 && fake.pools_closed == 1, "drained: destroyed, and its pool closed");
  ok(first_owner == fake.inst, "the last one's owner");
  fake.drain_at_once = false;
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 2);
  is_int(fake.pools_closed, 1, "a pool that another topic uses stays open");
  instance_close(b, 0);
  turn_until(&fake.destroyed, 3);
  is_int(fake.pools_closed, 2, "with its last topic it goes");
  is_int(fake.unloads, 0, "the plugin stays loaded");
  instance_close(c, 100000);
  instance_close(c, 0);
  instance_close(NULL, 0);
  is_int(fake.drains, 4, "each was asked to drain once");
  end("an instance that was still draining");
}

static const void *created_in; /* by bare_create() */
static int bare_create(void *pool_, struct pb_owner *o, const struct pb_topic_info *info,
                       const void *conf, void **ret, struct pb_err *e) {
  created_in = pool_;
  return fake_create(pool_, o, info, conf, ret, e);
}

/* A plugin without pools still gets at what load() returned. */
static void test_no_pools(void) {
  struct pb_transport bare = desc;
  struct topic_settings own = topic;
  bare.pool_open = NULL;
  bare.pool_close = NULL;
  bare.create = bare_create;
  own.transport = &bare;
  own.pool = NULL;
  done = (struct done){0};
  fake = (struct fake){.drain_at_once = true};
  loop_begin();
  tr = transports_new(loop);
  inst = instance_open(tr, &snapshot, &own, on_ready, &done, &err);
  ok(inst && created_in == &fake, "without pool_open() create() is given what load() returned");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  transports_free(tr);
  loop_end();
}

static void test_refusals(void) {
  done = (struct done){0};
  fake = (struct fake){.load_rc = -EIO};
  loop_begin();
  tr = transports_new(loop);
  ok(!instance_open(tr, &snapshot, &topic, on_ready, &done, &err), "load() fails: no instance");
  is_str(err.text, "cannot load", "it says why");
  fake.load_rc = 0;
  fake.pool_rc = -EIO;
  ok(!instance_open(tr, &snapshot, &topic, on_ready, &done, &err), "pool_open() fails: none");
  is_str(err.text, "cannot open", "it says why");
  ok(fake.loads == 2, "load() was tried again");
  fake.pool_rc = 0;
  fake.create_rc = -EIO;
  ok(!instance_open(tr, &snapshot, &topic, on_ready, &done, &err), "create() fails: none");
  is_str(err.text, "cannot create", "it says why");
  ok(fake.pools == 2 && fake.pools_closed == 1, "the pool opened for it is closed");
  fake.create_rc = 0;
  inst = instance_open(tr, &snapshot, &topic, on_ready, &done, &err);
  ok(inst != NULL, "then it works");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  transports_free(tr);
  turns(1);
  ok(fake.destroyed == 1 && fake.pools_closed == 2 && fake.unloads == 1 && !snapshot.refs,
     "what failed is not closed, what worked is");
  loop_end();
}

/* --- closing --- */

static void test_drain(void) {
  begin();
  pb_ticket t = submit_rc(0, "taken");
  instance_close(inst, 60000);
  is_int(fake.drains, 1, "the transport is asked to drain");
  turns(3);
  is_int(fake.destroyed, 0, "it is not destroyed while a request runs");
  complete(t, PB_ANSWERED, 200, "x");
  turns(1);
  ok(done.n == 1 && fake.destroyed == 0, "the request ends as usual; not yet drained");
  fake.host->drained(fake.inst);
  is_int(fake.destroyed, 0, "drained() is put off");
  turns(1);
  is_int(fake.destroyed, 1, "then it is destroyed");
  end("drained");

  begin(); /* says drained() and the completion in one */
  t = submit_rc(0, "taken");
  instance_close(inst, 60000);
  complete(t, PB_ANSWERED, 200, "x");
  fake.host->drained(fake.inst);
  turns(1);
  ok(done.n == 1 && fake.destroyed == 1, "the completion comes before the end");
  end("at once");

  begin(); /* wrong: drained() with a request on the way */
  t = submit_rc(0, "taken");
  fake.drain_at_once = true;
  instance_close(inst, 60000);
  turns(2);
  is_int(fake.destroyed, 0, "drained() too early: the request is waited for");
  complete(t, PB_ANSWERED, 200, "x");
  turns(2);
  ok(done.n == 1 && fake.destroyed == 1, "then it is destroyed");
  end("too early");
}

static void patience_case(const char *name) {
  begin();
  submit_rc(0, "taken");
  uint64_t start = loop_clock_ms();
  bool complete_in_destroy = !strcmp(name, "completes in destroy()");
  fake.complete_in_destroy = complete_in_destroy;
  fake.drained_in_destroy = !strcmp(name, "drained in destroy()");
  fake.drain_at_once = !strcmp(name, "drained too early");
  instance_close(inst, 60);
  turn_until(&fake.destroyed, 1);
  ok(loop_clock_ms() - start >= 50, "%s: not before its time", name);
  turns(3);
  is_int(fake.destroyed, 1, "%s: destroyed once, under a request that runs", name);
  is_int(done.n, 1, "%s: the request ends, once", name);
  is_int(done.outcome, PB_LOST, "%s: as unknown", name);
  if (!complete_in_destroy) like(done.detail, "closed", "%s: with a reason", name);
  end(name);
}

static void test_patience(void) {
  patience_case("hangs");
  patience_case("completes in destroy()");
  patience_case("drained in destroy()");
  patience_case("drained too early");

  begin(); /* the process stops: nothing is waited for */
  submit_rc(0, "taken");
  instance_close(inst, 60000);
  transports_free(tr);
  ok(done.n == 1 && done.outcome == PB_LOST, "freeing all ends what still runs, as unknown");
  turns(1);
  ok(fake.destroyed == 1 && fake.unloads == 1 && !snapshot.refs, "and closes what still drains");
  loop_end();
}

int main(void) {
  world_begin();
  test_life();
  test_refusals();
  test_no_pools();
  test_drain();
  test_patience();
  return world_end();
}
