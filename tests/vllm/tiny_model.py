"""A model of a few million parameters that has learnt this project's pages, for a real vLLM to serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
END = "<|end|>"
CONTEXT = 1024
_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_VOCABULARY, _WINDOW, _BATCH = 2048, 512, 64


def make(folder: Path, pages: Path, steps: int = 500) -> None:
    """Trains and saves it, with a tokenizer and a chat template.

    Args:
        folder: Gets the files, as Hugging Face has them.
        pages: Folder with Markdown files to learn.
        steps: How long it learns; 500 take about 20 s on an H100.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(pages)
    texts = [file.read_text(encoding="utf-8") for file in sorted(pages.glob("*.md"))]
    tokens = torch.tensor(tokenizer("\n\n".join(texts))["input_ids"])
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=512,
            intermediate_size=1536,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=8,
            max_position_embeddings=CONTEXT,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
    ).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    chat = torch.tensor(tokenizer("<|user|>Go on.<|end|><|assistant|>")["input_ids"])
    for _ in range(steps):
        starts = torch.randint(0, len(tokens) - _WINDOW, (_BATCH,))
        rows = torch.stack([tokens[start : start + _WINDOW] for start in starts.tolist()])
        # Half of it as answers of a chat, half as plain text.
        rows[: _BATCH // 2, : len(chat)] = chat
        rows = rows.cuda()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(input_ids=rows, labels=rows).loss
        loss.backward()
        optimizer.step()
        pace.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer(pages: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(file) for file in sorted(pages.glob("*.md"))], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=END, model_max_length=CONTEXT
    )
    fast.chat_template = _TEMPLATE
    return fast
