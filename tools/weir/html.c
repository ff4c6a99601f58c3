/* SPDX-License-Identifier: MIT
 * The page; see html.h. No script in it: it is read where scripts are off, and kept for years. */
#include "html.h"

#include <stdlib.h>
#include <string.h>

#include <weir/alloc.h>

#include "machine.h"
#include "means.h"
#include "plot.h"
#include "stats.h"
#include "table.h"

/* Colours come from variables, so that the dark scheme is one rule. A table that is wider than the screen scrolls in a
 * box of its own, with the names standing. */
static const char style[] =
    ":root{color-scheme:light dark;--ink:#1f2328;--soft:#59636e;--paper:#fff;--band:#f3f5f7;--line:#d5dbe1;"
    "--good:#116329;--bad:#b3241c}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4af;--paper:#14171a;--band:#1d2226;"
    "--line:#363d44;--good:#5fd07f;--bad:#ff8a80}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;padding:1rem;max-width:72rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);"
    "background:var(--paper)}\n"
    "h1{font-size:1.35rem;line-height:1.3;overflow-wrap:anywhere}h2{font-size:1.15rem;margin-top:2.2rem;"
    "overflow-wrap:anywhere}h3{font-size:1rem}\n"
    "p.soft,figcaption,footer{color:var(--soft)}\n"
    "code,pre{font-family:ui-monospace,monospace;font-size:.86em}pre,code{overflow-wrap:anywhere;white-space:pre-wrap}"
    "\n"
    "pre{background:var(--band);padding:.7rem;border-radius:6px}\n"
    ".wide{overflow-x:auto;border:1px solid var(--line);border-radius:6px}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.35rem .6rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}\n"
    "tr:last-child>*{border-bottom:0}thead th{background:var(--band);font-weight:600;vertical-align:bottom}\n"
    "th:first-child{text-align:left;position:sticky;left:0;background:var(--paper)}\n"
    "thead th:first-child{background:var(--band)}\n"
    "tr.weir>*{background:var(--band)}\n"
    "small{color:var(--soft);display:block}td.problem{text-align:left;white-space:normal;color:var(--bad)}\n"
    ".good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}\n"
    ".plots{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));margin:1rem 0}\n"
    "figure{margin:0;max-width:44rem}svg{width:100%;height:auto;display:block}\n"
    "li{overflow-wrap:anywhere}nav a{display:inline-block;margin:0 .8rem .3rem 0}a{color:inherit}\n";

/* In the order of the table: on a narrow screen the first are what is seen. */
static const enum figure shown[FIGURE_COUNT] = {FIGURE_WALL, FIGURE_PEAK,   FIGURE_END,   FIGURE_INTEGRAL,
                                                FIGURE_USER, FIGURE_SYSTEM, FIGURE_MINOR, FIGURE_MAJOR};

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static void put(const char *text, FILE *stream)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", stream);
            break;
        case '>':
            fputs("&gt;", stream);
            break;
        case '&':
            fputs("&amp;", stream);
            break;
        case '"':
            fputs("&quot;", stream);
            break;
        default:
            fputc((unsigned char)*text < ' ' && *text != '\n' ? ' ' : *text, stream);
        }
}

/** <tag>text</tag> and a newline. */
static void put_element(const char *tag, const char *text, FILE *stream)
{
    fprintf(stream, "<%s>", tag);
    put(text, stream);
    fprintf(stream, "</%.*s>\n", (int)strcspn(tag, " "), tag);
}

static void put_list(const struct strings *list, FILE *stream)
{
    fputs("<ul>\n", stream);
    for (size_t i = 0; i < list->count; i++)
        put_element("li", list->item[i], stream);
    fputs("</ul>\n", stream);
}

static void put_figure(char *svg, const char *caption, FILE *stream)
{
    if (svg == NULL)
        return;
    fputs("<figure>", stream);
    fputs(svg, stream);
    put_element("figcaption", caption, stream);
    fputs("</figure>\n", stream);
    free(svg);
}

/** "<br>" before the unit, so that columns stay narrow. */
static void put_heading(enum figure figure, FILE *stream)
{
    fputs("<th scope=\"col\">", stream);
    put(figure_name[figure].title, stream);
    fputs("<small>", stream);
    put(figure_name[figure].unit, stream);
    fputs("</small></th>", stream);
}

static void put_ratio(const struct ratio *ratio, FILE *stream)
{
    const char *class = !ratio->beyond ? "" : ratio->median < 1 ? " class=\"good\"" : " class=\"bad\"";
    fprintf(stream, "<span%s title=\"%.3f to %.3f\">&times;%.2f%s</span>", class, ratio->low, ratio->high,
            ratio->median, ratio->beyond ? "*" : "");
}

/* ---- one result ------------------------------------------------------------------------------------------------- */

static void put_cell(const struct result *r, const struct row *row, enum figure figure, FILE *stream)
{
    struct cell cell = stats_cell(r, row, figure);
    fprintf(stream, "<td>%s<small>&plusmn;%s", table_figure(figure, cell.median), table_figure(figure, cell.deviation));
    if (cell.ratio.pairs > 0) {
        fputc(' ', stream);
        put_ratio(&cell.ratio, stream);
    }
    fputs("</small></td>", stream);
}

static void put_row(const struct result *r, const struct row *row, FILE *stream)
{
    fprintf(stream, "<tr%s><th scope=\"row\">", strcmp(row->allocator, "weir") == 0 ? " class=\"weir\"" : "");
    put(row->allocator, stream);
    fputs("</th>", stream);
    for (int f = 0; f < FIGURE_COUNT && row->runs > 0; f++)
        put_cell(r, row, shown[f], stream);
    if (row->runs == 0) {
        fprintf(stream, "<td class=\"problem\" colspan=\"%d\">", FIGURE_COUNT);
        put(row->problem != NULL ? row->problem : "no run was done", stream);
        fputs("</td>", stream);
    }
    fputs("</tr>\n", stream);
}

static void put_table(const struct result *r, FILE *stream)
{
    fputs("<div class=\"wide\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">allocator</th>", stream);
    for (int f = 0; f < FIGURE_COUNT; f++)
        put_heading(shown[f], stream);
    fputs("</tr></thead><tbody>\n", stream);
    for (size_t i = 0; i < r->rows; i++)
        put_row(r, &r->row[i], stream);
    fputs("</tbody></table></div>\n", stream);
}

/** What went wrong, and what else there is to say. */
static void put_remarks(const struct result *r, FILE *stream)
{
    struct strings list = {0};
    if (r->partial)
        strings_add(&list, "Interrupted: of %u rounds only what was done is here", r->rounds);
    if (r->rounds < STATS_ROUNDS_LEAST)
        strings_add(&list, "Fewer than %d rounds cannot tell a difference from noise, so none is marked",
                    STATS_ROUNDS_LEAST);
    for (size_t i = 0; i < r->rows; i++) {
        const struct row *row = &r->row[i];
        if (row->problem != NULL && row->runs > 0)
            strings_add(&list, "%s: after %zu rounds %s", row->allocator, row->runs, row->problem);
        if (row->differs != NULL)
            strings_add(&list, "%s: %s", row->allocator, row->differs);
    }
    for (size_t i = 0; i < r->notes.count; i++)
        strings_add(&list, "%s", r->notes.item[i]);
    if (r->absent.count > 0)
        strings_add(&list, "Not on this machine: %s", strings_join(&r->absent));
    if (list.count > 0)
        put_list(&list, stream);
    strings_free(&list);
}

static void put_commands(const struct result *r, FILE *stream)
{
    fputs("<details><summary>Commands and libraries</summary>\n<pre>", stream);
    for (size_t i = 0; i < r->rows; i++) {
        fputs("# ", stream);
        put(r->row[i].allocator, stream);
        fputs(": ", stream);
        put(r->row[i].version, stream);
        fputc('\n', stream);
        put(r->row[i].environment, stream);
        fputc(' ', stream);
        put(r->command, stream);
        fputc('\n', stream);
    }
    fputs("</pre></details>\n", stream);
}

static void put_result(const struct result *r, bool alone, FILE *stream)
{
    fprintf(stream, "<section id=\"");
    put(r->name, stream);
    fputs("\">\n", stream);
    if (!alone) {
        put_element("h2", r->name, stream);
        put_element("p", r->about, stream);
        fputs("<p>", stream);
        put_element("code", r->command, stream);
        fputs("</p>\n", stream);
    }
    fprintf(stream, "<p class=\"soft\">%u rounds, %s, %s.</p>\n", r->rounds, r->kind, r->date);
    put_table(r, stream);
    put_remarks(r, stream);
    fputs("<div class=\"plots\">\n", stream);
    put_figure(plot_resident_svg(r), "Resident size over the time of a typical run of each allocator.", stream);
    put_figure(plot_time_svg(r), "Time: medians, with the median absolute deviation.", stream);
    fputs("</div>\n", stream);
    put_commands(r, stream);
    fputs("</section>\n", stream);
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static const enum figure mean_figure[] = {FIGURE_WALL, FIGURE_PEAK, FIGURE_END, FIGURE_INTEGRAL};

static void put_means_table(const struct means *m, FILE *stream)
{
    fputs("<div class=\"wide\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">allocator</th>", stream);
    for (size_t i = 0; i < TOOL_COUNT(mean_figure); i++)
        put_element("th scope=\"col\"", figure_name[mean_figure[i]].title, stream);
    fputs("<th scope=\"col\">results</th></tr></thead><tbody>\n", stream);
    for (size_t i = 0; i < m->count; i++) {
        fprintf(stream, "<tr%s><th scope=\"row\">", strcmp(m->item[i].allocator, "weir") == 0 ? " class=\"weir\"" : "");
        put(m->item[i].allocator, stream);
        fputs("</th>", stream);
        for (size_t k = 0; k < TOOL_COUNT(mean_figure); k++)
            if (m->item[i].count[mean_figure[k]] > 0)
                fprintf(stream, "<td>%.2f</td>", m->item[i].ratio[mean_figure[k]]);
            else
                fputs("<td></td>", stream);
        fprintf(stream, "<td>%zu</td></tr>\n", m->item[i].count[FIGURE_WALL]);
    }
    fputs("</tbody></table></div>\n", stream);
}

static void put_means(const struct results *list, FILE *stream)
{
    struct means m = means_of(list);
    fputs("<h2>Geometric means</h2>\n<p>Of the ratios to ", stream);
    put(m.reference, stream);
    fputs(" in all that follows; less is better.</p>\n", stream);
    put_means_table(&m, stream);
    put_figure(means_svg(&m, mean_figure, TOOL_COUNT(mean_figure)), "Geometric means of the ratios.", stream);
    fputs("<nav aria-label=\"Results\">\n", stream);
    for (size_t i = 0; i < list->count; i++) {
        fputs("<a href=\"#", stream);
        put(list->item[i]->name, stream);
        fputs("\">", stream);
        put(list->item[i]->name, stream);
        fputs("</a>\n", stream);
    }
    fputs("</nav>\n", stream);
    free(m.item);
}

static void put_method(const struct results *list, FILE *stream)
{
    struct strings machine = machine_lines(list->machine);
    fputs("<h2>Machine</h2>\n", stream);
    put_list(&machine, stream);
    fputs(
        "<h2>Method</h2>\n<p>Each round runs every allocator once, and begins with another than the last. Figures are "
        "medians of the rounds, with the median absolute deviation; a ratio is the median of those of the runs of the "
        "same round. It is marked (*) where the difference is larger than the noise: at least 5 rounds, the "
        "distribution-free interval of the median of the ratios (93 % confidence or more) does not hold 1, and the "
        "difference exceeds both 1 % and the ratios' median absolute deviation. Less is better everywhere. Resident "
        "sizes are those of all processes of the program, peak the system's count; faults are page faults.</p>\n",
        stream);
    strings_free(&machine);
}

void html_write(const struct results *list, FILE *stream)
{
    bool alone = list->count == 1 && *list->item[0]->name == '\0';
    const char *title = alone ? list->item[0]->command : "Weir and other allocators";
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          stream);
    put(title, stream);
    fprintf(stream, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", style);
    put_element("h1", title, stream);
    if (!plot_possible())
        fputs("<p class=\"soft\">There are no plots here, because gnuplot was not installed.</p>\n", stream);
    if (!alone && list->count > 0)
        put_means(list, stream);
    for (size_t i = 0; i < list->count; i++)
        put_result(list->item[i], alone, stream);
    put_method(list, stream);
    fprintf(stream, "<footer>weir %s</footer>\n</body>\n</html>\n", weir_version());
}
