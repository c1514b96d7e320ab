using System.Text.Json;
using System.Text.Json.Serialization;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime;

/// <summary>One rule: from this much work on, a sparse kernel wins below this density.</summary>
/// <param name="Kernel">The kernel.</param>
/// <param name="Size">
/// Lower bound of what the rule is for: output pixels for convolutions, rows of the input for matrices, bytes of the dense weight for vectors; for weights of few bits the bytes that all of them in the
/// model would take without masks, because a layer that fits the caches comes from memory where the model does not fit.
/// </param>
/// <param name="Density">The density (more exactly, the cost, see <see cref="BreakEvenTable.Speedup"/>) at which the sparse kernel is as fast as the dense one, 0 to 1.</param>
public sealed record BreakEven(KernelKind Kernel, long Size, double Density)
{
    /// <summary>What the values are held in. Bit-masks and windows (the kernel of compressed rows against one vector) have rules for each type; all other kernels are of single precision.</summary>
    public ValueKind Values { get; init; }

    /// <summary>Lower bound of the columns of a row; 0 for any. Masks over few bits have rules for short rows, which spend their time on scales and on adding up.</summary>
    public int Columns { get; init; }
}

/// <summary>At which density sparse kernels begin to win: data, not code.</summary>
/// <remarks>
/// The time of a sparse kernel is nearly proportional to its density, so one number per kernel and size says both where it
/// wins and by how much (about break-even / density). The built-in constants are conservative; <see cref="Measure"/> finds those of
/// this machine in seconds, and <see cref="Save"/> and <see cref="Load"/> keep them.
/// </remarks>
public sealed class BreakEvenTable
{
    /// <summary>A sparse kernel is chosen only when it is expected to win by this factor.</summary>
    public const double Margin = 1.1;

    // Of kernels and of the cost that densities are compared with (SparseCost): raise it when either changes what a measured number means.
    private const int Version = 5;

    private readonly BreakEven[] _entries;

    /// <summary>A table of rules.</summary>
    /// <param name="entries">In any order.</param>
    /// <param name="origin">Where the numbers come from, as the plan prints it.</param>
    /// <exception cref="ArgumentException">A size is negative, a density is not in 0..1, or a rule occurs twice.</exception>
    public BreakEvenTable(IEnumerable<BreakEven> entries, string origin)
    {
        ArgumentNullException.ThrowIfNull(entries);
        ArgumentNullException.ThrowIfNull(origin);
        _entries = [.. entries.OrderBy(e => e.Kernel).ThenBy(e => e.Values).ThenBy(e => e.Size).ThenBy(e => e.Columns)];
        Origin = origin;
        for (int i = 0; i < _entries.Length; i++)
        {
            BreakEven e = _entries[i];
            if (e.Size < 0 || e.Columns < 0 || !Enum.IsDefined(e.Values) || !(e.Density >= 0 && e.Density <= 1)) throw new ArgumentException($"{e} is no rule: sizes are at least 0, densities in 0..1.", nameof(entries));
            if (i > 0 && (_entries[i - 1] with { Density = e.Density }) == e) throw new ArgumentException($"{e.Kernel} from {e.Size} on is given twice.", nameof(entries));
        }
    }

    /// <summary>
    /// The constants that are used when nothing was measured: nine tenths of the lesser of what one and two threads gave on a
    /// 2-core x64 server, with compiled kernels (AVX-512) or, where there are none, without (AVX2). Masks over few bits from memory have the lesser itself; without AVX-512 none of their masks is taken.
    /// Zero: the mask of 4-bit values in the caches, or in short rows, is slower than their dense product at every density.
    /// </summary>
    public static BreakEvenTable BuiltIn { get; } = new(
    [
        .. CompiledKernels.AreUsed ? (ReadOnlySpan<BreakEven>)[
            new(KernelKind.Convolution, 0, 0.47), new(KernelKind.Convolution, 16, 0.9),
            new(KernelKind.Csr, 2, 0.5), new(KernelKind.Csr, 16, 0.84), new(KernelKind.Csr, 24, 0.88),
            new(KernelKind.Block, 2, 0.5), new(KernelKind.Block, 16, 0.85), new(KernelKind.Block, 24, 0.88),
        ] :
        [
            new(KernelKind.Convolution, 0, 0.41), new(KernelKind.Convolution, 49, 0.57), new(KernelKind.Convolution, 3136, 0.43),
            new(KernelKind.Csr, 2, 0.12), new(KernelKind.Csr, 8, 0.22), new(KernelKind.Csr, 16, 0.3), new(KernelKind.Csr, 32, 0.39),
            new(KernelKind.Block, 2, 0.11), new(KernelKind.Block, 4, 0.15), new(KernelKind.Block, 8, 0.29), new(KernelKind.Block, 32, 0.37),
        ],
        .. Steps.LinearKernel.UsesWindows ? (ReadOnlySpan<BreakEven>)[
            new(KernelKind.CsrVector, 0, 0.6), new(KernelKind.CsrVector, 4 << 20, 0.67), new(KernelKind.CsrVector, 32 << 20, 0.72),
            .. FewBits(ValueKind.BFloat16, 0.89, 0.77, 0.9, 0.84, windows: true), .. FewBits(ValueKind.Int8, 0.59, 0.46, 0.85, 0.85, windows: true), .. FewBits(ValueKind.Int4, 0.9, 0.74, 0.9, 0.9, windows: true),
            new(KernelKind.BitmaskVector, 0, 0.36), new(KernelKind.BitmaskVector, 4 << 20, 0.53), new(KernelKind.BitmaskVector, 32 << 20, 0.9),
            .. FewBits(ValueKind.BFloat16, 0.43, 0.45, 0.69, 0.69), .. FewBits(ValueKind.Int8, 0.46, 0.47, 0.74, 0.74), .. FewBits(ValueKind.Int4, 0, 0, 0, 0.5),
        ] :
        [
            new(KernelKind.CsrVector, 0, 0.12), new(KernelKind.CsrVector, 32 << 20, 0.24),
            new(KernelKind.BitmaskVector, 0, 0.12), new(KernelKind.BitmaskVector, 4 << 20, 0.22), new(KernelKind.BitmaskVector, 32 << 20, 0.52),
        ],
        new(KernelKind.BlockVector, 0, 0.4), new(KernelKind.BlockVector, 4 << 20, 0.6),
        // Asked for with 512-bit registers alone.
        new(KernelKind.Depthwise, 0, 0.78), new(KernelKind.Depthwise, 196, 0.7),
        new(KernelKind.Columns, 4 << 20, 0.65),
    ], "built in");

    // In the caches and beyond, in rows of fewer than 2048 columns and of more.
    private static BreakEven[] FewBits(ValueKind values, double cachedShort, double cachedLong, double farShort, double farLong, bool windows = false) =>
    [
        new(windows ? KernelKind.CsrVector : KernelKind.BitmaskVector, 0, cachedShort) { Values = values },
        new(windows ? KernelKind.CsrVector : KernelKind.BitmaskVector, 0, cachedLong) { Values = values, Columns = Planning.BreakEvenMeasurement.LongRow },
        new(windows ? KernelKind.CsrVector : KernelKind.BitmaskVector, Planning.BreakEvenMeasurement.BeyondCaches, farShort) { Values = values },
        new(windows ? KernelKind.CsrVector : KernelKind.BitmaskVector, Planning.BreakEvenMeasurement.BeyondCaches, farLong) { Values = values, Columns = Planning.BreakEvenMeasurement.LongRow },
    ];

    /// <summary>Where the numbers come from.</summary>
    public string Origin { get; }

    /// <summary>What the points were measured with; null when they were not, and hold anywhere.</summary>
    internal BreakEvenConditions? Conditions { get; init; }

    /// <summary>The rules, sorted by kernel, type of the values, size and columns.</summary>
    public IReadOnlyList<BreakEven> Entries => _entries;

    /// <summary>The density at which a kernel breaks even for work of a size (see <see cref="BreakEven.Size"/>); 0 when it never wins.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="size">See <see cref="BreakEven.Size"/>.</param>
    /// <param name="values">What the values are held in.</param>
    /// <param name="columns">Columns of a row.</param>
    public double For(KernelKind kernel, long size, ValueKind values = ValueKind.Float32, int columns = int.MaxValue)
    {
        double density = 0;
        foreach (BreakEven e in _entries)
        {
            if (e.Kernel == kernel && e.Values == values && e.Size <= size && e.Columns <= columns) density = e.Density;
        }
        return density;
    }

    /// <summary>How many times faster than dense a kernel is expected to be; below 1 it loses.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="size">See <see cref="BreakEven.Size"/>.</param>
    /// <param name="cost">Work as a fraction of the dense one: the stored fraction of the weight and, for products with many columns, what copying inputs adds.</param>
    /// <param name="values">What the values are held in.</param>
    /// <param name="columns">Columns of a row.</param>
    public double Speedup(KernelKind kernel, long size, double cost, ValueKind values = ValueKind.Float32, int columns = int.MaxValue) =>
        kernel == KernelKind.Dense ? 1 : For(kernel, size, values, columns) / Math.Max(cost, 0.005);

    /// <summary>Measures the break-even points of this machine with the threads in use; takes a few seconds.</summary>
    /// <param name="progress">Told the kernel and size that is measured.</param>
    /// <param name="cancellation">Stops between measurements.</param>
    public static BreakEvenTable Measure(IProgress<string>? progress = null, CancellationToken cancellation = default) =>
        Planning.BreakEvenMeasurement.Run(progress, cancellation);

    /// <summary>Writes the table as JSON, under a temporary name first.</summary>
    /// <param name="path">The file; replaced when it exists.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Save(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string temporary = path + ".tmp";
        File.WriteAllText(temporary, JsonSerializer.Serialize(new BreakEvenFile(Version, Origin, Conditions, _entries), BreakEvenJson.Default.BreakEvenFile));
        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>Reads a table that <see cref="Save"/> wrote.</summary>
    /// <exception cref="Model.ModelFormatException">
    /// SL1090: the file is no break-even table. SL1091: it was measured with other kernels, on another processor, at another instruction level or with another number of threads.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static BreakEvenTable Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            BreakEvenFile? file = JsonSerializer.Deserialize(File.ReadAllText(path), BreakEvenJson.Default.BreakEvenFile);
            if (file is { Entries: not null, Origin: not null })
            {
                var table = new BreakEvenTable(file.Entries, file.Origin) { Conditions = file.Conditions };
                BreakEvenConditions now = BreakEvenConditions.Current;
                if (file.Version != Version) throw Stale(path, $"by another version of the kernels ({file.Version}, this is {Version})");
                if (file.Conditions is { } then && then != now) throw Stale(path, $"with {then}, and this is {now}");
                return table;
            }
            throw new ArgumentException("entries or origin are missing");
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            throw new Model.ModelFormatException("SL1090", $"'{path}' is no break-even table: {e.Message}", e) { Where = path, Try = "sparseland doctor --calibrate writes a new one" };
        }
    }

    private static Model.ModelFormatException Stale(string path, string how) =>
        new("SL1091", $"the break-even points of '{path}' were measured {how}") { Where = path, Try = "sparseland doctor --calibrate measures them again" };
}

internal sealed record BreakEvenFile(int Version, string Origin, BreakEvenConditions? Conditions, BreakEven[] Entries);

[JsonSourceGenerationOptions(WriteIndented = true, UseStringEnumConverter = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(BreakEvenFile))]
internal sealed partial class BreakEvenJson : JsonSerializerContext;
