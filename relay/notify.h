/* relay/notify.h - tells the service manager how we are: sd_notify(3)'s protocol, one datagram to $NOTIFY_SOCKET. Any thread. */
#ifndef RELAY_NOTIFY_H
#define RELAY_NOTIFY_H

/* "READY=1", "RELOADING=1", "STOPPING=1"; nothing where nobody listens. */
void notify_manager(const char *state);

#endif
