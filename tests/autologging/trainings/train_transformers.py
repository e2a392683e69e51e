"""A tiny transformer, made here and trained by its library's Trainer, which reports to MLflow."""

import os

import mlflow
import telling
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    pipeline,
)

torch.manual_seed(0)
os.environ["HF_MLFLOW_LOG_ARTIFACTS"] = "TRUE"
words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "good", "bad", "film", "very"])}
spoken = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
spoken.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=spoken, pad_token="[PAD]", unk_token="[UNK]")
network = BertForSequenceClassification(
    BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
)
texts = ["very good film", "very bad film"] * 16
tokens = tokenizer(texts, padding=True)
data = [
    {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": number % 2}
    for number, (ids, mask) in enumerate(zip(tokens["input_ids"], tokens["attention_mask"], strict=True))
]
mlflow.set_experiment("transformers")
mlflow.transformers.autolog()
settings = TrainingArguments(
    "checkpoints", num_train_epochs=3, per_device_train_batch_size=8, logging_steps=2, eval_strategy="epoch",
    save_strategy="epoch", report_to=["mlflow"], use_cpu=True, disable_tqdm=True, learning_rate=0.01,
)  # fmt: skip
with mlflow.start_run() as run:
    trainer = Trainer(network, settings, train_dataset=data, eval_dataset=data)
    trainer.train()
    pipe = pipeline("text-classification", model=network, tokenizer=tokenizer)
    # Its requirements are told, because MLflow else looks for torchvision.
    info = mlflow.transformers.log_model(pipe, name="judge", pip_requirements=["transformers", "torch"])
loaded = mlflow.transformers.load_model(info.model_uri)
telling.tell(run=telling.run(run.info.run_id), same=loaded(texts[:2]) == pipe(texts[:2]))
