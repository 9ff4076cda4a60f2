/* core/readfile.h - a small file that an operator names, read whole: a certificate, a key, a password; and in words that can be acted on who may not read it
 * and why. Blocks: for start and reload. Any thread. */
#ifndef CORE_READFILE_H
#define CORE_READFILE_H

#include "core/fail.h"

#include <sys/types.h>

/* Reads up to `room` octets into `out`: as many as `room` means that it may be larger. Only a plain file: a pipe must not hold the start up. How many were
 * read, or -1 with *why (SP_FAIL_STORE): path, uid, the mode and owner of the file or of the folder before it, and the command that mends it; reason "missing"
 * where there is no such file, else "unreadable". *mode, where not NULL, gets the permission bits, as 0640. The caller wipes what is a secret. */
SP_NODISCARD ssize_t core_read_file(const char *path, char *out, size_t room, unsigned *mode, struct sp_fail *why);

#endif
