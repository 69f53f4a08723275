/* Jobs that are this node's by the storage's record and not here: of an earlier life, swallowed by
 * a connection that broke, or a dead node's.
 */
#ifndef PB_CORE_TAKEOVER_H
#define PB_CORE_TAKEOVER_H

struct topic;

/* Does nothing unless the topic is in doubt (topic_doubt()) and the storage can be asked now. Then
 * it compares the jobs that the storage counts as running on this node with the jobs in memory. */
void takeover_ask(struct topic *t);
/* What that dead node ran is this node's now. */
void takeover_of(struct topic *t, const char *node);

#endif
