/* SPDX-License-Identifier: MIT
 * Rounds of runs under all allocators; see contest.h. */
#include "contest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"
#include "output.h"
#include "relay.h"
#include "shell.h"

/** What is known of one allocator beyond its row. */
struct entrant {
    enum mapped mapped;
    bool differs_err; /* what differs is what it wrote to standard error */
    double spent;     /* seconds of all its runs, with what belongs to them */
    unsigned runs;
    struct sample *curve[64]; /* of its runs that count, to choose one from */
    size_t points[64];
};

struct match {
    const struct contest *c;
    struct result *result;
    struct entrant *entrant;
    struct trial reference; /* the first run of the first allocator */
    bool have_reference;
    bool unsteady, unsteady_err; /* the reference's own output, or errors, differed from those of its first run */
    char left[16];               /* the name of a process that a run left behind */
    unsigned done;
};

/* ---- judging a run ---------------------------------------------------------------------------------------------- */

static bool same_ending(int a, int b)
{
    return WIFSIGNALED(a) ? WIFSIGNALED(b) && WTERMSIG(a) == WTERMSIG(b)
                          : !WIFSIGNALED(b) && WEXITSTATUS(a) == WEXITSTATUS(b);
}

/** Adds to a problem what the program said last. */
static char *with_last_words(char *problem, int err)
{
    char *line = output_last_line(err);
    char *text = *line != '\0' ? text_format("%s; it said: %s", problem, line) : text_format("%s", problem);
    free(line);
    free(problem);
    return text;
}

/** Judges how it ended. @return the problem or NULL. */
static char *judge_ending(const struct match *m, const struct trial *t)
{
    if (t->problem != NULL)
        return with_last_words(text_format("%s", t->problem), t->err);
    if (m->c->subject->load != NULL || !m->have_reference || same_ending(t->status, m->reference.status))
        return NULL;
    char *ending = trial_ending(t->status);
    if (WIFSIGNALED(t->status))
        return with_last_words(ending, t->err);
    char *expected = trial_ending(m->reference.status);
    char *text = text_format("%s, where %s has %s", ending, m->result->row[0].allocator, expected);
    free(ending);
    free(expected);
    return with_last_words(text, t->err);
}

static void judge_output(struct match *m, struct row *row, const struct trial *t)
{
    const struct subject *s = m->c->subject;
    if (s->load != NULL || s->ignore_output || !m->have_reference || row->differs != NULL)
        return;
    const char *first = m->result->row[0].allocator;
    char *out = output_difference("output", m->reference.out, first, t->out, row->allocator);
    char *err = output_difference("what it wrote to standard error", m->reference.err, first, t->err, row->allocator);
    if (row == m->result->row) {
        m->unsteady = m->unsteady || out != NULL;
        m->unsteady_err = m->unsteady_err || err != NULL;
        free(out);
        free(err);
        return;
    }
    row->differs = out != NULL ? out : err;
    m->entrant[row - m->result->row].differs_err = out == NULL && err != NULL;
    if (out != NULL)
        free(err);
}

/* ---- one run ---------------------------------------------------------------------------------------------------- */

static void keep_curve(struct entrant *e, struct trial *t, size_t index)
{
    if (index >= TOOL_COUNT(e->curve))
        return;
    e->curve[index] = t->curve;
    e->points[index] = t->points;
    t->curve = NULL;
}

/** Takes what trial t says of its allocator. `round` is 0 in those that do not count. */
static void take(struct match *m, size_t index, struct trial *t, unsigned round)
{
    struct row *row = &m->result->row[index];
    struct entrant *e = &m->entrant[index];
    if (t->mapped == MAPPED_YES || e->mapped == MAPPED_UNKNOWN)
        e->mapped = t->mapped;
    if (*m->left == '\0')
        memcpy(m->left, t->left, sizeof m->left);
    row->problem = judge_ending(m, t);
    if (row->problem != NULL)
        return;
    judge_output(m, row, t);
    if (round == 0)
        return;
    struct run run = {.round = round};
    memcpy(run.figure, t->figure, sizeof run.figure);
    keep_curve(e, t, row->runs);
    row_add_run(row, &run);
}

static void run_one(struct match *m, size_t index, unsigned round)
{
    struct trial t;
    const struct contest *c = m->c;
    double start = relay_now();
    trial_run(&t, c->subject, &c->allocators->item[index], m->entrant[index].runs == 0 && round == 0);
    m->entrant[index].spent += relay_now() - start;
    m->entrant[index].runs++;
    m->done++;
    if (measure_interrupted() == 0) {
        take(m, index, &t, round);
        if (index == 0 && !m->have_reference && m->result->row[0].problem == NULL) {
            m->reference = t;
            m->have_reference = true;
            return;
        }
    }
    trial_free(&t);
}

/* ---- rounds ----------------------------------------------------------------------------------------------------- */

/** Seconds that the runs still to come will take, from those that were; less than 0 before there were any. */
static double time_left(const struct match *m)
{
    double left = 0, mean = 0, known = 0;
    size_t unknown = 0;
    unsigned all = m->c->rounds + m->c->warm_up;
    for (size_t i = 0; i < m->result->rows; i++) {
        const struct entrant *e = &m->entrant[i];
        if (m->result->row[i].problem != NULL)
            continue;
        if (e->runs == 0) {
            unknown++;
            continue;
        }
        mean += e->spent / e->runs;
        known++;
        left += (all > e->runs ? all - e->runs : 0) * e->spent / e->runs;
    }
    return known > 0 ? left + (double)unknown * all * mean / known : -1;
}

static void tell(const struct match *m, unsigned round, size_t index, bool first)
{
    struct progress *p = m->c->progress;
    double left = time_left(m);
    const char *name = m->result->row[index].allocator;
    if (p->outer_share > 0) { /* the parts to come are taken to be as much slower than said as those that were */
        double runs = (double)(m->c->rounds + m->c->warm_up) * (double)m->result->rows;
        double done = p->outer_done + p->outer_share * m->done / runs;
        double spent = relay_now() - p->outer_start;
        left = done > 0.05 ? spent * (1 - done) / done : p->outer_guess > spent ? p->outer_guess - spent : -1;
    }
    if (round == 0)
        progress_say(p, first, left, "%s%swarming up, %s", m->result->name, *m->result->name != '\0' ? ": " : "", name);
    else
        progress_say(p, first, left, "%s%sround %u of %u, %s", m->result->name, *m->result->name != '\0' ? ": " : "",
                     round, m->c->rounds, name);
}

static void run_round(struct match *m, unsigned round, size_t shift)
{
    bool first = true;
    for (size_t i = 0; i < m->result->rows && measure_interrupted() == 0; i++) {
        size_t index = (i + shift) % m->result->rows;
        if (m->result->row[index].problem != NULL)
            continue;
        tell(m, round, index, first);
        first = false;
        run_one(m, index, round);
    }
}

/* ---- the result ------------------------------------------------------------------------------------------------- */

/** The curve of the run whose integral is the median one. */
static void choose_curve(struct row *row, struct entrant *e)
{
    size_t kept = row->runs < TOOL_COUNT(e->curve) ? row->runs : TOOL_COUNT(e->curve), chosen = 0;
    for (size_t i = 0; i < kept; i++) {
        size_t below = 0, equal = 0;
        for (size_t k = 0; k < kept; k++) {
            below += row->run[k].figure[FIGURE_INTEGRAL] < row->run[i].figure[FIGURE_INTEGRAL];
            equal += row->run[k].figure[FIGURE_INTEGRAL] == row->run[i].figure[FIGURE_INTEGRAL];
        }
        if (below <= kept / 2 && kept / 2 < below + equal)
            chosen = i;
    }
    for (size_t i = 0; i < kept; i++)
        if (i != chosen)
            free(e->curve[i]);
    row->curve = kept > 0 ? e->curve[chosen] : NULL;
    row->points = kept > 0 ? e->points[chosen] : 0;
}

static void note_output(struct match *m)
{
    struct result *r = m->result;
    if (!m->unsteady && !m->unsteady_err)
        return;
    strings_add(&r->notes, "%s not compared: under %s itself a second run wrote something else%s than the first",
                m->unsteady ? "outputs were" : "what was written to standard error was", r->row[0].allocator,
                m->unsteady ? "" : " there");
    for (size_t i = 0; i < r->rows; i++)
        if (m->unsteady || m->entrant[i].differs_err) {
            free(r->row[i].differs);
            r->row[i].differs = NULL;
        }
}

static void note_mapped(struct match *m)
{
    for (size_t i = 0; i < m->result->rows; i++) {
        struct row *row = &m->result->row[i];
        if (m->c->allocators->item[i].library == NULL || row->problem != NULL)
            continue;
        if (m->entrant[i].mapped == MAPPED_NO)
            row->problem = text_format("not loaded: %s was not in the program, so it ran on another allocator",
                                       text_basename(m->c->allocators->item[i].library));
        else if (m->entrant[i].mapped == MAPPED_UNKNOWN && row->runs > 0)
            strings_add(&m->result->notes, "%s: the program was too short to see whether the library was loaded",
                        row->allocator);
    }
}

static void note_ending(struct match *m)
{
    if (!m->have_reference || m->c->subject->load != NULL || m->reference.status == 0)
        return;
    char *ending = trial_ending(m->reference.status);
    strings_add(&m->result->notes, "under %s the program itself fails: %s", m->result->row[0].allocator, ending);
    free(ending);
}

static void note_left(struct match *m)
{
    if (*m->left != '\0')
        strings_add(&m->result->notes, "processes were left behind, %s for one, and were ended after each run",
                    m->left);
}

static char *utc_now(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    return text_format("%s", text);
}

static char *environment_text(const struct contest *c, const struct allocator *a)
{
    struct strings change = {0};
    allocator_environment(a, c->subject->python, c->subject->program.linked != NULL, &change);
    char *text = shell_line(change.item);
    strings_free(&change);
    return text;
}

static struct result *make_result(const struct contest *c)
{
    struct result *r = calloc(1, sizeof *r);
    if (r == NULL || (r->row = calloc(c->allocators->count, sizeof *r->row)) == NULL)
        tool_die("out of memory");
    r->rows = c->allocators->count;
    r->rounds = c->rounds;
    r->set = text_format("%s", "");
    for (size_t i = 0; i < r->rows; i++) {
        r->row[i].allocator = text_format("%s", c->allocators->item[i].name);
        r->row[i].version = text_format("%s", c->allocators->item[i].version);
        r->row[i].environment = environment_text(c, &c->allocators->item[i]);
    }
    for (size_t i = 0; i < c->allocators->absent.count; i++)
        strings_add(&r->absent, "%s", c->allocators->absent.item[i]);
    return r;
}

struct result *contest_run(const struct contest *c, const char *name)
{
    struct match m = {.c = c, .result = make_result(c)};
    m.result->name = text_format("%s", name);
    m.entrant = calloc(m.result->rows, sizeof *m.entrant);
    if (m.entrant == NULL)
        tool_die("out of memory");
    for (unsigned i = 0; i < c->warm_up; i++)
        run_round(&m, 0, 0);
    for (unsigned round = 1; round <= c->rounds; round++)
        run_round(&m, round, round - 1);
    progress_clear(c->progress);
    m.result->partial = measure_interrupted() != 0;
    m.result->date = utc_now();
    note_mapped(&m);
    note_output(&m);
    note_ending(&m);
    note_left(&m);
    for (size_t i = 0; i < m.result->rows; i++)
        choose_curve(&m.result->row[i], &m.entrant[i]);
    if (m.have_reference)
        trial_free(&m.reference);
    free(m.entrant);
    return m.result;
}

bool contest_wrong(const struct result *r)
{
    for (size_t i = 0; i < r->rows; i++)
        if (r->row[i].problem != NULL || r->row[i].differs != NULL)
            return true;
    return false;
}
