/* What this node tells alone, while the shared storage is away: kept in <state_dir>/alerts.json, so
 * that a start in the middle of it tells nothing twice, and tells when it is over. */
#ifndef PB_CORE_ALERTS_LONE_FILE_H
#define PB_CORE_ALERTS_LONE_FILE_H

#include <jansson.h>

/* {alert: its course}; NULL: there is none, or it cannot be read. */
json_t *lone_file_read(const char *state_dir);
/* An empty object removes the file. 0 or -errno. */
int lone_file_write(const char *state_dir, const json_t *courses);

#endif
