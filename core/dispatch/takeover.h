/* Jobs that are this node's by the storage's record and not here: of an earlier life, swallowed by
 * a connection that broke, or a dead node's.
 */
#ifndef PB_CORE_TAKEOVER_H
#define PB_CORE_TAKEOVER_H

struct topic;

/* Where there is a doubt (topic_doubt()) what the storage says this node runs is compared with what
 * it has in memory, if the storage can be asked now. */
void takeover_ask(struct topic *t);
/* What that dead node ran is this node's now. */
void takeover_of(struct topic *t, const char *node);

#endif
