using Sparseland.Model.Graph;

namespace Sparseland.Cli.Measuring;

/// <summary>A peer that can run a model.</summary>
/// <param name="Id">What --against calls it.</param>
/// <param name="Title">What people call it.</param>
/// <param name="IsInstalled">Whether it is where its documented install puts it.</param>
/// <param name="InstallHint">The command that installs it.</param>
/// <param name="InstallIn">The same for the peer's folder, to paste.</param>
/// <param name="Start">Starts it on a model, with inputs and a number of threads.</param>
internal sealed record PeerEntry(string Id, string Title, Func<bool> IsInstalled, string InstallHint, Func<string, string> InstallIn, Func<ModelGraph, IReadOnlyDictionary<string, TensorData>, int, InferencePeer> Start)
{
    /// <summary>What is not there, and what to do; null when the peer can be asked.</summary>
    public (string What, string Try)? Missing()
    {
        if (IsInstalled()) return null;
        if (InferencePeer.Folder(Id, Directory.Exists) is { } folder) return ($"{Title} is not installed", InstallIn(folder));
        string named = Environment.GetEnvironmentVariable(InferencePeer.EnvironmentVariable) is { Length: > 0 } value ? $", nor in '{value}', which {InferencePeer.EnvironmentVariable} names" : "";
        return ($"the scripts that run {Title} were not found: no bench/peers/{Id} at or above the program or the current folder{named}", $"set {InferencePeer.EnvironmentVariable} to the folder bench/peers of a checkout of Sparseland");
    }
}

/// <summary>The engines that a model can be timed against.</summary>
internal static class PeerCatalog
{
    /// <summary>All of them, in the order of tables.</summary>
    public static IReadOnlyList<PeerEntry> All { get; } =
    [
        new("onnxruntime", "ONNX Runtime", () => OnnxRuntimePeer.Find() is not null, OnnxRuntimePeer.InstallHint, OnnxRuntimePeer.InstallIn, OnnxRuntimePeer.Start),
        new("pytorch", "PyTorch", () => PyTorchInferencePeer.Find() is not null, PyTorchInferencePeer.InstallHint, _ => PyTorchInferencePeer.InstallHint, PyTorchInferencePeer.Start),
    ];

    /// <summary>The peer of that id, or null.</summary>
    public static PeerEntry? Find(string id) => All.FirstOrDefault(p => string.Equals(p.Id, id, StringComparison.OrdinalIgnoreCase));
}
