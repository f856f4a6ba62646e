// The chat template of models that are trained here.

/// How conversations look to a model that Walet trains: turns with marks as Kimi K2's, thinking between `<think>` and
/// `</think>`, which only the last answer keeps, as in DeepSeek-R1's template.
public enum ConversationTemplate {
    /// The file that transformers and Walet read it from.
    public static let fileName = "chat_template.jinja"

    /// Control tokens that it needs beside those that begin and end a document.
    public static let marks = [
        "<|im_system|>", "<|im_user|>", "<|im_assistant|>", "<|im_end|>", "<think>", "</think>",
    ]

    /// `enable_thinking` (or `thinking`) false lets the model answer at once.
    public static let source = """
        {{- bos_token -}}
        {%- set marks = namespace(last=-1) -%}
        {%- for message in messages -%}
        {%- if message.role == 'user' -%}{%- set marks.last = loop.index0 -%}{%- endif -%}
        {%- endfor -%}
        {%- for message in messages -%}
        {%- if message.role == 'assistant' -%}
        {{- '<|im_assistant|><think>' -}}
        {%- if loop.index0 > marks.last and message.reasoning_content -%}{{- message.reasoning_content -}}{%- endif -%}
        {{- '</think>' -}}{{- message.content -}}{{- '<|im_end|>' -}}
        {%- elif message.role == 'system' -%}
        {{- '<|im_system|>' -}}{{- message.content -}}{{- '<|im_end|>' -}}
        {%- elif message.role == 'user' -%}
        {{- '<|im_user|>' -}}{{- message.content -}}{{- '<|im_end|>' -}}
        {%- else -%}
        {{- raise_exception('this model knows no messages of the role ' + message.role) -}}
        {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
        {{- '<|im_assistant|><think>' -}}
        {%- if enable_thinking is defined and not enable_thinking -%}{{- '</think>' -}}{%- endif -%}
        {%- endif -%}

        """
}
