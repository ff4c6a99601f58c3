/* SPDX-License-Identifier: MIT
 * Writes what gnuplot is to do, and runs it; see plot.h. */
#include "plot.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "child.h"
#include "stats.h"

static const double mib = 1 << 20;

/* ---- gnuplot ---------------------------------------------------------------------------------------------------- */

static char *find_gnuplot(void)
{
    static char *path;
    if (path == NULL)
        path = child_output((char *[]){(char *)"/bin/sh", (char *)"-c", (char *)"command -v gnuplot", NULL});
    if (path != NULL)
        path[strcspn(path, "\n")] = '\0';
    return path;
}

bool plot_possible(void) { return find_gnuplot() != NULL; }

static bool ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), tail = strlen(end);
    return length > tail && strcasecmp(path + length - tail, end) == 0;
}

void plot_check(const char *path)
{
    if (!ends_with(path, ".svg") && !ends_with(path, ".png"))
        tool_die("--plot draws .svg and .png; '%s' ends in neither", path);
    if (!plot_possible())
        tool_die("--plot needs gnuplot, which is not in PATH; on Debian: apt-get install gnuplot-nox");
}

/** A script for gnuplot, in memory. */
struct script {
    FILE *stream;
    char *text;
    size_t size;
};

static struct script *begin(void)
{
    struct script *s = calloc(1, sizeof *s);
    if (s == NULL || (s->stream = open_memstream(&s->text, &s->size)) == NULL)
        tool_die("out of memory");
    return s;
}

/** Runs the script and frees it. @return what gnuplot writes, NULL if it fails. */
static char *draw(struct script *s)
{
    fclose(s->stream);
    char *gnuplot = find_gnuplot();
    char *argv[] = {gnuplot, (char *)"-", NULL};
    char *text = gnuplot != NULL ? child_filter(argv, s->text) : NULL;
    free(s->text);
    free(s);
    return text;
}

/** In single quotes gnuplot takes all but the quote itself as it is. */
static void put_text(struct script *s, const char *text)
{
    fputc('\'', s->stream);
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputc('\'', s->stream);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, s->stream);
    }
    fputc('\'', s->stream);
}

/** The same allocator has the same colour in every picture; all can be told apart on white and on black. */
static const char *colour_of(const char *allocator, size_t index)
{
    static const struct {
        const char *name, *colour;
    } known[] = {{"glibc", "#888888"},     {"musl", "#888888"},     {"weir", "#e4572e"},
                 {"jemalloc", "#2a7fd4"},  {"mimalloc", "#12a37a"}, {"tcmalloc", "#c06bb0"},
                 {"tbbmalloc", "#d99a00"}, {"pymalloc", "#4fb3e8"}, {"snmalloc", "#8a6fd1"},
                 {"rpmalloc", "#9a8b2f"},  {"mesh", "#5a9a3c"},     {"hardened_malloc", "#b05a3c"}};
    static const char *const other[] = {"#00a5a5", "#a05195", "#7f9f00", "#665191", "#cc3355"};
    for (size_t i = 0; i < TOOL_COUNT(known); i++)
        if (strcmp(known[i].name, allocator) == 0)
            return known[i].colour;
    return other[index % TOOL_COUNT(other)];
}

/* ---- what is drawn ---------------------------------------------------------------------------------------------- */

static void put_style(struct script *s)
{
    fputs("set border 3 lc rgb '#000000'\n"
          "set tics nomirror scale 0.5\n"
          "set grid ytics lc rgb '#808080' lw 0.5\n"
          "set yrange [0:*]\n"
          "set style fill solid 0.85 noborder\n",
          s->stream);
}

static void put_resident(struct script *s, const struct result *r)
{
    bool first = true;
    for (size_t i = 0; i < r->rows; i++) {
        fprintf(s->stream, "$r%zu << EOD\n", i);
        for (size_t k = 0; k < r->row[i].points; k++)
            fprintf(s->stream, "%.6f %.4f\n", r->row[i].curve[k].time, (double)r->row[i].curve[k].resident / mib);
        fputs("EOD\n", s->stream);
    }
    fputs("set key outside below horizontal\nset format x '%g s'\nset ylabel 'MiB resident'\nset xrange [0:*]\n"
          "plot ",
          s->stream);
    for (size_t i = 0; i < r->rows; i++) {
        if (r->row[i].points == 0)
            continue;
        fprintf(s->stream, "%s$r%zu using 1:2 with lines lw %s lc rgb '%s' title ", first ? "" : ", ", i,
                strcmp(r->row[i].allocator, "weir") == 0 ? "2.5" : "1.5", colour_of(r->row[i].allocator, i));
        put_text(s, r->row[i].allocator);
        first = false;
    }
    fputs(first ? "NaN notitle\n" : "\n", s->stream); /* gnuplot must have something */
}

/** Bars in groups, with a gap between two groups. Where a group has one series, its name stands below the bar. */
static void put_bars(struct script *s, const struct plot_bars *b)
{
    bool many = b->groups > 1;
    for (size_t k = 0; k < b->series_count; k++) {
        fprintf(s->stream, "$b%zu << EOD\n", k);
        for (size_t g = 0; g < b->groups; g++) {
            double value = b->value[k * b->groups + g];
            double deviation = b->deviation != NULL ? b->deviation[k * b->groups + g] : 0;
            if (value > 0)
                fprintf(s->stream, "%zu %.9g %.9g\n", g * (b->series_count + 2) + k, value, deviation);
        }
        fputs("EOD\n", s->stream);
    }
    fprintf(s->stream, "set format x\nset ylabel '%s'\nset xrange [-1:%zu]\nset xtics %s (", b->unit,
            b->groups * (b->series_count + 2) - 2, many ? "norotate" : "rotate by -35");
    for (size_t i = 0; i < (many ? b->groups : b->series_count); i++) {
        fputs(i > 0 ? ", " : "", s->stream);
        put_text(s, many ? b->group[i] : b->series[i]);
        fprintf(s->stream, " %g",
                many ? (double)(i * (b->series_count + 2)) + (double)(b->series_count - 1) / 2 : (double)i);
    }
    fputs(many ? ")\nset key outside below horizontal\n" : ")\nunset key\n", s->stream);
    if (b->line > 0)
        fprintf(s->stream, "set arrow from graph 0, first %g to graph 1, first %g nohead lc rgb '#808080' lw 1.5\n",
                b->line, b->line);
    fputs("plot ", s->stream);
    for (size_t k = 0; k < b->series_count; k++) {
        fprintf(s->stream, "%s$b%zu using 1:2:(0.8) with boxes lc rgb '%s' title ", k > 0 ? ", " : "", k,
                colour_of(b->series[k], k));
        put_text(s, b->series[k]);
        if (b->deviation != NULL)
            fprintf(s->stream, ", $b%zu using 1:($2-$3):(0):(2*$3) with vectors nohead lw 1.5 lc rgb '#000000' notitle",
                    k);
    }
    fputc('\n', s->stream);
}

static void put_time(struct script *s, const struct result *r)
{
    static const char *const group[] = {""};
    const char **series = calloc(r->rows + 1, sizeof *series);
    double *value = calloc(2 * r->rows + 1, sizeof *value);
    if (series == NULL || value == NULL)
        tool_die("out of memory");
    for (size_t i = 0; i < r->rows; i++) {
        struct cell cell = stats_cell(r, &r->row[i], FIGURE_WALL);
        series[i] = r->row[i].allocator;
        value[i] = cell.runs > 0 ? cell.median : 0;
        value[r->rows + i] = cell.deviation;
    }
    put_bars(s, &(struct plot_bars){.unit = "seconds",
                                    .series = series,
                                    .series_count = r->rows,
                                    .group = group,
                                    .groups = 1,
                                    .value = value,
                                    .deviation = value + r->rows});
    free(series);
    free(value);
}

/* ---- as a file -------------------------------------------------------------------------------------------------- */

void plot_file(const struct result *r, const char *path)
{
    struct script *s = begin();
    bool svg = ends_with(path, ".svg");
    fprintf(s->stream, "set terminal %s size %s noenhanced font 'sans-serif,%d' background rgb '#ffffff'\nset output ",
            svg ? "svg dynamic" : "pngcairo", svg ? "720,720" : "1080,1080", 13);
    put_text(s, path);
    fputs("\nset multiplot layout 2,1\n", s->stream);
    put_style(s);
    put_resident(s, r);
    put_time(s, r);
    fputs("unset multiplot\n", s->stream);
    char *said = draw(s);
    if (said == NULL)
        tool_die("cannot draw %s: gnuplot failed%s", path, svg ? "" : "; does it know pngcairo? .svg may do");
    free(said);
}

/* ---- for a page ------------------------------------------------------------------------------------------------- */

/** Removes each part of `text` from `from` to the end of the first `to` behind it. */
static void cut(char *text, const char *from, const char *to)
{
    for (char *start = strstr(text, from), *end; start != NULL; start = strstr(start, from)) {
        end = strstr(start + strlen(from), to);
        if (end == NULL)
            return;
        end += strlen(to);
        memmove(start, end, strlen(end) + 1);
    }
}

/** gnuplot draws in black; these rules make that the colour of the text. What has an id goes, so that a page can have
 *  many pictures. */
static char *dress(char *svg)
{
    static const char style[] = "<style>"
                                ":root{color-scheme:light dark}"
                                "svg g[color]{color:inherit}"
                                "svg [stroke=\"rgb(  0,   0,   0)\"]{stroke:currentColor}"
                                "svg [fill=\"rgb(0,0,0)\"],svg [fill=\"black\"]{fill:currentColor}"
                                "svg:root{color:#1f2328}"
                                "@media(prefers-color-scheme:dark){svg:root{color:#e6e8eb}}"
                                "</style>";
    char *open = svg != NULL ? strstr(svg, "<svg") : NULL, *close = open != NULL ? strchr(open, '>') : NULL;
    if (close == NULL) {
        free(svg);
        return NULL;
    }
    cut(close, "<defs>", "</defs>");
    cut(close, "<title>", "</title>");
    cut(close, "<desc>", "</desc>");
    cut(close, " id=\"", "\"");
    char *text = text_format("%.*s%s%s", (int)(close + 1 - open), open, style, close + 1);
    free(svg);
    return text;
}

static struct script *begin_svg(unsigned width, unsigned height)
{
    struct script *s = begin();
    fprintf(s->stream, "set terminal svg dynamic size %u,%u noenhanced font 'sans-serif,13'\n", width, height);
    put_style(s);
    return s;
}

char *plot_resident_svg(const struct result *r)
{
    struct script *s = begin_svg(500, 360);
    put_resident(s, r);
    return dress(draw(s));
}

char *plot_time_svg(const struct result *r)
{
    struct script *s = begin_svg(500, 300);
    put_time(s, r);
    return dress(draw(s));
}

char *plot_bars_svg(const struct plot_bars *bars)
{
    struct script *s = begin_svg(640, 360);
    put_bars(s, bars);
    return dress(draw(s));
}
