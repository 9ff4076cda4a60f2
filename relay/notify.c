/* relay/notify.c - see notify.h. The protocol is a datagram; libsystemd would be a large library for one sendto(2). */
#include "relay/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void notify_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (path == NULL || (*path != '/' && *path != '@') || strlen(path) >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, strlen(path));
	if (*path == '@')
		to.sun_path[0] = '\0';          /* abstract */
	char text[128];
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int len = snprintf(text, sizeof(text), "%s", state);
	if (strcmp(state, "RELOADING=1") == 0)  /* systemd 253 wants to know when */
		len = snprintf(text, sizeof(text), "%s\nMONOTONIC_USEC=%lld", state, (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, text, (size_t)len, MSG_NOSIGNAL, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
	close(fd);
}
