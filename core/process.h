/* core/process.h - what the kernel and the database's library say this process uses. Any thread. */
#ifndef CORE_PROCESS_H
#define CORE_PROCESS_H

#include "core/base.h"

struct core_process {
	uint64_t resident;              /* octets of memory; 0: not known */
	uint64_t sqlite;                /* octets that SQLite has allocated; 0: it does not count */
	uint64_t descriptors, descriptors_max;  /* open ones, and how many there may be; 0: not known */
	double cpu_s;                   /* of all threads, user and system */
};
void core_process_look(struct core_process *out);

#endif
