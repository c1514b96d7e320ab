namespace Sparseland.Model.Formats.TorchCheckpoint;

internal static class TorchErrors
{
    internal static ModelFormatException Damaged(string where, string because, Exception? inner = null) =>
        new("SL1301", "this is no sound PyTorch checkpoint", inner) { Where = where, Because = because };

    internal static ModelFormatException Forbidden(string where, string name) =>
        new("SL1302", $"the checkpoint asks for '{name}', which is not loaded")
        {
            Where = where,
            Because = "a pickle can run any code; only tensors, containers and numbers are constructed here",
            Try = "if you trust the file, save its state_dict alone: torch.save(model.state_dict(), \"weights.pt\")",
        };

    internal static ModelFormatException OverLimit(string where, string because) =>
        new("SL1303", "the checkpoint exceeds a limit that protects from hostile files") { Where = where, Because = because };

    internal static ModelFormatException Type(string where, string type) =>
        new("SL1304", $"the checkpoint's element type '{type}' is not supported")
        {
            Where = where,
            Because = "supported are real floating-point numbers, integers and booleans",
            Try = "convert the tensor to float32 where it was made",
        };
}
