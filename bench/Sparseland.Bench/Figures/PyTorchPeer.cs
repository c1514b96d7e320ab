using System.Globalization;
using Sparseland.Cli.Measuring;

namespace Sparseland.Bench.Figures;

/// <summary>PyTorch in a Python process of its own: one training step of a network per run.</summary>
internal sealed class PyTorchPeer : PeerProcess
{
    /// <summary>Environment variable with the Python that has PyTorch.</summary>
    public const string EnvironmentVariable = "SPARSELAND_PYTHON";

    public const string InstallHint = "apt-get install python3-torch (or set " + EnvironmentVariable + " to a Python that has PyTorch)";

    /// <summary>
    /// Rest before another engine's turn: after a matrix product the idle threads of PyTorch's OpenBLAS take 100 ms of a core looking for work, those of its convolutions 8 ms.
    /// </summary>
    public const int RestMilliseconds = 120;

    private PyTorchPeer(string[] arguments) : base("PyTorch", Python, arguments)
    {
    }

    /// <summary>The Python that is asked for PyTorch.</summary>
    public static string Python => Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } p ? p : "/usr/bin/python3";

    /// <summary>Starts the peer.</summary>
    /// <param name="model">resnet20 or mlp.</param>
    /// <param name="width">Channels of the first stage, or units of a hidden layer.</param>
    /// <param name="batch">Images per step.</param>
    /// <param name="threads">Threads it may use.</param>
    /// <exception cref="InvalidOperationException">Python or PyTorch is not there.</exception>
    public static PyTorchPeer Start(string model, int width, int batch, int threads)
    {
        string folder = OnnxRuntimePeer.Folder("pytorch", f => File.Exists(Path.Combine(f, "train_step.py"))) ?? throw new InvalidOperationException("bench/peers/pytorch was not found.");
        return new PyTorchPeer([
            Path.Combine(folder, "train_step.py"), "--serve", "--model", model, "--width", Text(width), "--batch", Text(batch), "--threads", Text(threads),
        ]);
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
