// Decode speed of ik_llama.cpp at given context lengths, without computing the context anew in each run.
//
//     ik_depth fill   MODEL THREADS FOLDER CONTEXT...     computes the caches once and saves them in FOLDER
//     ik_depth decode MODEL THREADS FOLDER CONTEXT...     loads each and decodes 16 tokens from there, one JSON line each
//
// llama-sweep-bench takes its context's prefill (twenty minutes for 16,384 tokens on two cores) in every run; a saved
// sequence is the same cache. Settings as llama-sweep-bench's with -mla 3 -fa on -ub 1024.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "llama.h"

static const int steps = 16;

static void quiet(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

[[noreturn]] static void fail(const std::string & message) {
    fprintf(stderr, "ik_depth: error: %s\n", message.c_str());
    exit(1);
}

static void decode(llama_context * context, std::vector<llama_token> & tokens, int position) {
    if (llama_decode(context, llama_batch_get_one(tokens.data(), (int) tokens.size(), position, 0)) != 0)
        fail("decoding at " + std::to_string(position) + " failed");
    llama_synchronize(context);
}

int main(int count, char ** words) {
    if (count < 6) fail("expected fill or decode, MODEL, THREADS, FOLDER and contexts");
    const std::string mode = words[1], folder = words[4];
    if (mode != "fill" && mode != "decode") fail("expected fill or decode, found " + mode);
    std::vector<int> contexts;
    for (int i = 5; i < count; i++) contexts.push_back(atoi(words[i]));
    const int threads = atoi(words[3]);

    llama_log_set(quiet, nullptr);
    llama_backend_init();
    llama_model_params model_parameters = llama_model_default_params();
    model_parameters.mla = 3;
    model_parameters.flash_attn = true;
    llama_model * model = llama_model_load_from_file(words[2], model_parameters);
    if (!model) fail(std::string(words[2]) + " could not be loaded");

    llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = contexts.back() + 256;
    parameters.n_batch = 2048;
    parameters.n_ubatch = 1024;
    parameters.n_threads = parameters.n_threads_batch = threads;
    parameters.flash_attn = true;
    parameters.mla_attn = 3;
    parameters.fused_moe_up_gate = true;
    llama_context * context = llama_init_from_model(model, parameters);
    if (!context) fail("no context of " + std::to_string(parameters.n_ctx) + " tokens");

    std::mt19937 random(42);
    std::uniform_int_distribution<int> any(0, llama_n_vocab(model) - 1);
    std::vector<llama_token> one{ any(random) };
    // So that pages of the file are entered: llama-bench and walet bench make passes before they measure, too.
    for (int i = 0; i < (mode == "decode" ? 32 : 1); i++) {
        one[0] = any(random);
        decode(context, one, i);
    }
    llama_kv_cache_clear(context);

    int filled = 0;
    for (int target : contexts) {
        const std::string file = folder + "/" + std::to_string(target);
        if (mode == "fill") {
            while (filled < target) {
                std::vector<llama_token> part(std::min(1024, target - filled));
                for (auto & token : part) token = any(random);
                decode(context, part, filled);
                filled += (int) part.size();
            }
            if (llama_state_seq_save_file(context, file.c_str(), 0, nullptr, 0) == 0) fail(file + " could not be saved");
            fprintf(stderr, "ik_depth: %d tokens saved\n", target);
            continue;
        }
        llama_kv_cache_clear(context);
        size_t loaded = 0;
        llama_token none;
        if (llama_state_seq_load_file(context, file.c_str(), 0, &none, 1, &loaded) == 0) fail(file + " could not be loaded");
        // The first step builds the graph for this length and is not counted.
        decode(context, one, target);
        const auto start = std::chrono::steady_clock::now();
        for (int i = 1; i <= steps; i++) {
            one[0] = any(random);
            decode(context, one, target + i);
        }
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        printf("{\"n_kv\": %d, \"speed_tg\": %.4f}\n", target, steps / seconds.count());
        fflush(stdout);
    }
    llama_free(context);
    llama_free_model(model);
}
