using System.Globalization;
using Sparseland.Cli.Measuring;

namespace Sparseland.Bench.Figures;

/// <summary>PyTorch in a Python process of its own: one pass of attention per run.</summary>
internal sealed class AttentionPeer : PeerProcess
{
    private AttentionPeer(string[] arguments) : base("PyTorch", PyTorchPeer.Python, arguments)
    {
    }

    /// <summary>Starts the peer.</summary>
    /// <exception cref="InvalidOperationException">Python or PyTorch is not there.</exception>
    public static AttentionPeer Start(int heads, int tokens, int size, bool backward, int threads)
    {
        string folder = OnnxRuntimePeer.Folder("pytorch", f => File.Exists(Path.Combine(f, "attention.py"))) ?? throw new InvalidOperationException("bench/peers/pytorch was not found.");
        List<string> arguments = [Path.Combine(folder, "attention.py"), "--serve", "--heads", Text(heads), "--tokens", Text(tokens), "--size", Text(size), "--threads", Text(threads)];
        if (backward) arguments.Add("--backward");
        return new AttentionPeer([.. arguments]);
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
