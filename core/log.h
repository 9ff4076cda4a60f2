/* core/log.h - one event, one line on standard error: id first, then the event, then key=value; or JSON.
 *   text: 2026-11-22T14:03:09.123Z info 0X3K9 delivery mx=mx1.example.com result=deferred why="..."
 *   json: {"time":"2026-11-22T14:03:09.123Z","level":"info","id":"0X3K9","event":"delivery","mx":"..."}
 * Values are quoted and escaped where they need it, so peer text cannot break a line or send a control
 * character to a terminal. Severity has a meaning: error = an operator must act; warning = should look;
 * info = one line for each thing that happened to mail; debug = how. Any thread; a line is one write(2). */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/buf.h"

enum sp_log_level { SP_LOG_ERROR, SP_LOG_WARNING, SP_LOG_INFO, SP_LOG_DEBUG };
enum sp_log_format { SP_LOG_TEXT, SP_LOG_JSON };

/* Text at level info until called. May be called again (reload). */
void sp_log_setup(enum sp_log_format format, enum sp_log_level level);
void sp_log_silence(void);                      /* nothing at all: in commands whose answer says it better */
bool sp_log_enabled(enum sp_log_level level);

/* A line being built. Always sp_log_begin() ... sp_log_end(); costs nothing when the level is off. */
struct sp_log {
	struct sp_buf line;
	bool on;
	bool json;
};

/* `id` names the message, session or domain that the line is about; NULL or "" prints "-". */
void sp_log_begin(struct sp_log *l, enum sp_log_level level, const char *id, const char *event);
void sp_log_str(struct sp_log *l, const char *key, struct sp_str value);        /* any bytes; left out when empty */
void sp_log_cstr(struct sp_log *l, const char *key, const char *value);         /* left out when NULL or "" */
void sp_log_int(struct sp_log *l, const char *key, int64_t value);
void sp_log_bool(struct sp_log *l, const char *key, bool value);                /* yes/no; true/false in JSON */
void sp_log_end(struct sp_log *l);

/* For lines that are a sentence: key `text`. */
void sp_log_text(enum sp_log_level level, const char *id, const char *event, const char *fmt, ...) SP_PRINTF(4, 5);

#endif
