"""A small network by PyTorch Lightning, with a checkpoint each epoch."""

import lightning
import mlflow
import telling
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)


class Line(lightning.LightningModule):
    """A line through points."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, rows):
        return self.layer(rows)

    def training_step(self, batch):
        rows, values = batch
        loss = torch.nn.functional.mse_loss(self(rows), values)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch):
        rows, values = batch
        self.log("val_loss", torch.nn.functional.mse_loss(self(rows), values))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)


mlflow.set_experiment("lightning")
mlflow.pytorch.autolog(checkpoint_save_best_only=False)
rows = torch.randn(128, 3)
values = rows.sum(dim=1, keepdim=True)
loader = DataLoader(TensorDataset(rows, values), batch_size=32)
network = Line()
trainer = lightning.Trainer(
    max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=True
)
with mlflow.start_run() as run:
    trainer.fit(network, loader, loader)
whole = telling.run(run.info.run_id)
loaded = mlflow.pytorch.load_model(
    f"models:/{whole['models'][-1]['id']}" if whole["models"] else f"runs:/{run.info.run_id}/model"
)
telling.tell(run=whole, same=bool(torch.allclose(loaded(rows), network(rows))))
