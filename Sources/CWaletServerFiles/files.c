// The files of the web page and the specification of the endpoints, in the binary, so that it needs nothing beside it.

#include "walet_server_files.h"
#include <string.h>

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char openapi_json[] = {
#embed "openapi.json"
};
static const unsigned char answer_js[] = {
#embed "Web/answer.js"
};
static const unsigned char api_js[] = {
#embed "Web/api.js"
};
static const unsigned char app_css[] = {
#embed "Web/app.css"
};
static const unsigned char charts_js[] = {
#embed "Web/charts.js"
};
static const unsigned char chat_js[] = {
#embed "Web/chat.js"
};
static const unsigned char conversation_js[] = {
#embed "Web/conversation.js"
};
static const unsigned char dom_js[] = {
#embed "Web/dom.js"
};
static const unsigned char icon_svg[] = {
#embed "Web/icon.svg"
};
static const unsigned char index_html[] = {
#embed "Web/index.html"
};
static const unsigned char markdown_js[] = {
#embed "Web/markdown.js"
};
static const unsigned char metrics_js[] = {
#embed "Web/metrics.js"
};
static const unsigned char operator_html[] = {
#embed "Web/operator.html"
};
static const unsigned char operator_js[] = {
#embed "Web/operator.js"
};
static const unsigned char settings_js[] = {
#embed "Web/settings.js"
};
static const unsigned char syntax_js[] = {
#embed "Web/syntax.js"
};
static const unsigned char theme_js[] = {
#embed "Web/theme.js"
};

static const struct {
    const char *name;
    walet_server_file file;
} files[] = {
    {"openapi.json", {openapi_json, sizeof openapi_json}},
    {"answer.js", {answer_js, sizeof answer_js}},
    {"api.js", {api_js, sizeof api_js}},
    {"app.css", {app_css, sizeof app_css}},
    {"charts.js", {charts_js, sizeof charts_js}},
    {"chat.js", {chat_js, sizeof chat_js}},
    {"conversation.js", {conversation_js, sizeof conversation_js}},
    {"dom.js", {dom_js, sizeof dom_js}},
    {"icon.svg", {icon_svg, sizeof icon_svg}},
    {"index.html", {index_html, sizeof index_html}},
    {"markdown.js", {markdown_js, sizeof markdown_js}},
    {"metrics.js", {metrics_js, sizeof metrics_js}},
    {"operator.html", {operator_html, sizeof operator_html}},
    {"operator.js", {operator_js, sizeof operator_js}},
    {"settings.js", {settings_js, sizeof settings_js}},
    {"syntax.js", {syntax_js, sizeof syntax_js}},
    {"theme.js", {theme_js, sizeof theme_js}},
};

walet_server_file walet_server_file_named(const char *name) {
    for (size_t index = 0; index < sizeof files / sizeof *files; index++) {
        if (strcmp(files[index].name, name) == 0) return files[index].file;
    }
    return (walet_server_file){NULL, 0};
}
