/* How the descriptors of the process are shared out. Anybody can open a connection to a port of the
 * broker. Such connections must never take the descriptors that jobs need: connections to Redis and
 * to workers, and pipes of processes.
 */
#ifndef PB_CORE_DESCRIPTORS_H
#define PB_CORE_DESCRIPTORS_H

struct broker;

/* By the settings that run: to the listener, if there is one, and to the admin port's view. At the
 * start the limit of the process is raised as far as it may be. */
void descriptors_share(struct broker *b);

#endif
