/* The Lua scripts of a storage: each one atomic step, each a file scripts/NAME.lua, which says its
 * KEYS, ARGV, answer, and what stands when a command of it fails. doc/store-layout.md says what the
 * keys hold. At build time scripts.awk makes scripts.c of them, which has store_script_text().
 *
 * Rules for scripts:
 * - A script may run twice (its reply was lost). So it checks whether this node still owns what it
 *   settles.
 * - Store first, delete second.
 * - Replies are flat, or nearly: hiredis 0.14 reads seven levels.
 * - `#!lua flags=allow-oom`: a server that is out of memory must still let jobs finish.
 *
 * Why a command of a script may fail, and what the script leaves behind then:
 * - No memory, read-only, a full disk, too few replicas, SCRIPT KILL: Redis refuses the first write
 *   of a script and none after it, so nothing has happened.
 * - The server is killed: its append-only file and its replicas have all writes of a script or
 * none.
 * - A foreign key of another type, an ACL that denies one command: any command, in the middle. The
 *   writes before it stay. So each script says what stands when each write fails. A write that may
 *   not be without the next one is taken back (try, then undo), and one that only tidies up never
 *   keeps a job from its way (pcall).
 */
#ifndef PB_CORE_STORAGE_REDIS_SCRIPT_H
#define PB_CORE_STORAGE_REDIS_SCRIPT_H

enum store_script {
  SCRIPT_ADD,            /* intake with a limit, a token or a delay */
  SCRIPT_GROUPS_MAKE,    /* makes the groups of a queue that are missing */
  SCRIPT_GROUP_COUNT,    /* counts a slice of the jobs ahead of a group */
  SCRIPT_DEPTH,          /* the depth of some topics */
  SCRIPT_SETTLE_DONE,    /* settles jobs that went well */
  SCRIPT_SETTLE_OTHERS,  /* settles the others */
  SCRIPT_TAKE_DUE,       /* claims due retries */
  SCRIPT_RECOVER,        /* takes over the jobs that a node was running */
  SCRIPT_DELAYED_ENTER,  /* delayed jobs whose time has come enter the stream */
  SCRIPT_POP,            /* takes one job for good */
  SCRIPT_FAILED_LIST,    /* a page of retry set or dead jobs, or one job */
  SCRIPT_FAILED_SCAN,    /* a slice of a look through failed jobs */
  SCRIPT_FAILED_SOME,    /* the facts of some failed jobs */
  SCRIPT_FAILED_REPLAY,  /* one failed job gets its attempts back */
  SCRIPT_FAILED_EDIT,    /* an edited copy of a failed job takes its place */
  SCRIPT_FAILED_IMPORT,  /* failed jobs that come from elsewhere */
  SCRIPT_FAILED_PURGE,   /* one failed job is deleted */
  SCRIPT_JOB_FIND,       /* where a job is */
  SCRIPT_JOB_LIST,       /* a page of ready, running or delayed jobs */
  SCRIPT_JOB_CANCEL,     /* a job that does not run is not to run */
  SCRIPT_TOPIC_DROP,     /* deletes a topic */
  SCRIPT_STREAM_TRIM,    /* deletes what every group has had and settled */
  SCRIPT_QUEUE_HOLDS,    /* the jobs of a queue, by group */
  SCRIPT_CONSUMERS_DROP, /* deletes consumers that have nothing */
  SCRIPT_LEASE_RENEW,    /* keeps it, and tells what a sweep looks at */
  SCRIPT_LEASE_JOIN,     /* takes or keeps the lease of a node's name */
  SCRIPT_LEASE_LEAVE,    /* gives the lease up */
  SCRIPT_NODES,          /* the node registry; which nodes are dead */
  SCRIPT_NODES_FOUND,    /* nodes with jobs that no node registry has */
  SCRIPT_MEND,           /* jobs whose place was deleted by hand */
  SCRIPT_WRITE,          /* one command that must get through where memory is full */
  /* acts: many jobs, slice by slice */
  SCRIPT_ACT_REPLAY,
  SCRIPT_ACT_PURGE,
  SCRIPT_ACT_PURGE_READY,
  SCRIPT_ACT_SOME, /* of the jobs of a filter */
  SCRIPT_ACT_UNDO,
  SCRIPT_ACT_TIDY,   /* deletes what was kept to undo one */
  SCRIPT_ACT_TIDIED, /* nothing is left to delete */
  SCRIPT_ACT_ADD,    /* a new act */
  SCRIPT_ACT_NOTE,   /* how far it is */
  SCRIPT_ACT_CLAIM,  /* goes on where another node died */
  SCRIPT_ACT_OPEN,   /* acts that belong to no node; the server's clock */
  SCRIPT_ACT_CANCEL,
  SCRIPT_ACT_LIST,
  /* a topic's jobs go elsewhere */
  SCRIPT_MOVE_PAGE,
  SCRIPT_MOVE_PUT,
  SCRIPT_MOVE_TAKE,
  SCRIPT_MOVE_FREE,
  SCRIPT_MOVE_BACK,
  SCRIPT_MOVE_DELAYED,
  SCRIPT_MOVE_END,
  SCRIPT_MOVE_LOG,
  SCRIPT_MOVE_LEFT,
  SCRIPT_MOVE_HOLDS,
  /* what nodes share (storage/shared.h) */
  SCRIPT_REVISION_ADD,
  SCRIPT_REVISION_LIST,
  SCRIPT_DOC_PUT,
  SCRIPT_DOC_GET,
  SCRIPT_DOC_TAKE,
  SCRIPT_AUDIT_ADD,
  SCRIPT_LETTER_SEND,
  SCRIPT_LETTER_TAKE,
  SCRIPT_ALERT_LOOK,
  SCRIPT_ALERT_PUT,
  SCRIPT_SHARED_TELL,
  /* history (storage/history.h) */
  SCRIPT_HISTORY_ADD,
  SCRIPT_HISTORY_CARRY,
  SCRIPT_MAX,
  SCRIPT_NONE = SCRIPT_MAX /* a plain command */
};

/* scripts.c */
const char *store_script_text(enum store_script script);

#endif
