using System.Globalization;
using System.Runtime.InteropServices;
using Sparseland.Cli.Measuring;

namespace Sparseland.Bench.Figures;

/// <summary>
/// PyTorch in a Python process of its own, on operands that it reads from a folder. It names its variants (layouts of images, threads of its own and of its BLAS) and runs each on request:
/// all of them take turns with ours, and the one with the least median is the peer. One chosen beforehand was measured alone, and beside another engine the order is another one.
/// </summary>
internal abstract class PyTorchPeer : PeerProcess
{
    /// <summary>Environment variable with the Python that has PyTorch.</summary>
    public const string EnvironmentVariable = "SPARSELAND_PYTHON";

    public const string InstallHint = "apt-get install python3-torch (or set " + EnvironmentVariable + " to a Python that has PyTorch)";

    /// <summary>
    /// Rest before another engine's turn: after a matrix product the idle threads of PyTorch's OpenBLAS take 100 ms of a core looking for work, those of its convolutions 8 ms.
    /// </summary>
    public const int RestMilliseconds = 120;

    private readonly string _folder;

    /// <summary>Starts a script of the peer; the folder is the peer's from here on and goes with it.</summary>
    /// <exception cref="InvalidOperationException">The script, Python or PyTorch is not there.</exception>
    protected PyTorchPeer(string script, string folder, IEnumerable<string> arguments) : base("PyTorch", Python, [Script(script), folder, .. arguments])
    {
        _folder = folder;
        string[] names = Ready.Split("; ");
        Variants = [.. names.Skip(1).Select(n => n == "plain" ? names[0] : $"{names[0]}, {n}")];
    }

    /// <summary>The names of what it can run.</summary>
    public IReadOnlyList<string> Variants { get; }

    /// <summary>One run of a variant; returns the engine's own measurement in milliseconds.</summary>
    public double Run(int variant) => double.Parse(Ask($"run {Text(variant)}"), CultureInfo.InvariantCulture);

    /// <summary>Of timings that have this peer's variants among them, the one with the least median.</summary>
    public Timing Fastest(IEnumerable<Timing> timings) => timings.Where(t => Variants.Contains(t.Name)).MinBy(t => t.Median)!;

    /// <summary>Numbers that the peer wrote into its folder.</summary>
    protected float[] Numbers(string file) => MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path.Combine(_folder, file))).ToArray();

    /// <summary>Makes a folder with operands and starts the peer on it; nothing stays behind when it does not start.</summary>
    protected static T Start<T>(Action<string> write, Func<string, T> create)
    {
        string folder = Directory.CreateTempSubdirectory("sparseland-pytorch-").FullName;
        try
        {
            write(folder);
            return create(folder);
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>Writes raw numbers.</summary>
    protected static void Write<T>(string folder, string file, ReadOnlySpan<T> values) where T : unmanaged => File.WriteAllBytes(Path.Combine(folder, file), MemoryMarshal.AsBytes(values));

    protected static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    protected override void Clean() => Directory.Delete(_folder, recursive: true);

    /// <summary>The Python that is asked for PyTorch.</summary>
    private static string Python => Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } p ? p : "/usr/bin/python3";

    private static string Script(string name) =>
        Path.Combine(OnnxRuntimePeer.Folder("pytorch", f => File.Exists(Path.Combine(f, name))) ?? throw new InvalidOperationException("bench/peers/pytorch was not found."), name);
}
