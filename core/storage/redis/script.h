/* The Lua scripts of the store, each one atomic step. */
#ifndef PB_CORE_STORE_SCRIPT_H
#define PB_CORE_STORE_SCRIPT_H

enum store_script {
  SCRIPT_ADD,    /* intake with a limit, a token or a delay */
  SCRIPT_GROUPS, /* makes the groups of a queue that are missing */
  SCRIPT_COUNT,  /* counts a slice of what is ahead of a group */
  SCRIPT_LOOK,   /* the depth of a topic */
  SCRIPT_DONE,   /* settles jobs that went well */
  SCRIPT_FAIL,   /* settles the others */
  SCRIPT_DUE,    /* claims due retries */
  SCRIPT_CLAIM,  /* takes over what a node was running */
  SCRIPT_MOVE,   /* delayed jobs whose time has come enter the stream */
  SCRIPT_POP,    /* takes one job for good */
  SCRIPT_LIST,   /* a page of retry set or dead jobs, or one job */
  SCRIPT_REPLAY, /* one of them gets its attempts back */
  SCRIPT_PURGE,  /* one of them is deleted */
  SCRIPT_DROP,   /* deletes a topic */
  SCRIPT_TRIM,   /* deletes what every group has had and settled */
  SCRIPT_STRAY,  /* what a queue holds, by group */
  SCRIPT_PART,   /* deletes consumers that have nothing */
  SCRIPT_JOIN,   /* takes or keeps the lease of a node's name */
  SCRIPT_LEAVE,  /* gives it up */
  SCRIPT_NODES,  /* the registry; who is dead */
  SCRIPT_FOUND,  /* nodes with jobs that no registry has */
  SCRIPT_MEND,   /* jobs whose place was deleted by hand */
  SCRIPT_WRITE,  /* one command that must get through where memory is full */
  /* store_script_act.c: many jobs, slice by slice */
  SCRIPT_ACT_REPLAY,
  SCRIPT_ACT_PURGE,
  SCRIPT_ACT_ADD,   /* a new act */
  SCRIPT_ACT_NOTE,  /* how far it is */
  SCRIPT_ACT_CLAIM, /* goes on where another node died */
  SCRIPT_ACT_OPEN,  /* those that belong to nobody; the server's clock */
  SCRIPT_ACT_CANCEL,
  SCRIPT_ACT_LIST,
  /* store_script_move.c: what a topic holds goes elsewhere */
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
  SCRIPT_MAX,
  SCRIPT_NONE = SCRIPT_MAX /* a plain command */
};

const char *store_script_text(enum store_script script);

#endif
