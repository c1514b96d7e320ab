using System.Text.Json;
using System.Text.Json.Serialization;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime;

/// <summary>One rule: from this much work on, a sparse kernel wins below this density.</summary>
/// <param name="Kernel">The kernel.</param>
/// <param name="Size">
/// Lower bound of what the rule is for: output pixels for convolutions, rows of the input for matrices, bytes of the dense weight for vectors (of one that no cache holds where the model does not fit the caches); for weights of few bits the bytes that all of them in the
/// model would take without masks, because a layer that fits the caches comes from memory where the model does not fit.
/// </param>
/// <param name="Density">
/// The density (more exactly, the cost, see <see cref="BreakEvenTable.Speedup"/>) at which the sparse kernel is as fast as the dense one, 0 to <see cref="MostDensity"/>: above 1 where it would be faster with all values too, as beside
/// small images that leave registers of the dense kernel empty.
/// </param>
public sealed record BreakEven(KernelKind Kernel, long Size, double Density)
{
    /// <summary>The largest <see cref="Density"/> of a rule.</summary>
    public const double MostDensity = 4;

    /// <summary>What the values are held in. Bit-masks and windows (the kernel of compressed rows against one vector) have rules for each type; all other kernels are of single precision.</summary>
    public ValueKind Values { get; init; }

    /// <summary>Lower bound of the columns of a row; 0 for any. Masks over few bits have rules for short rows, which spend their time on scales and on adding up.</summary>
    public int Columns { get; init; }

    /// <summary>Lower bound of the rows of a block; 0 for any. Blocks of 4, 8 and 16 rows meet one vector in registers of different widths.</summary>
    public int BlockRows { get; init; }

    /// <summary>Lower bound of <see cref="KernelWork.WeightBytes"/>; 0 for any. Products with few rows of input wait for a weight that no cache holds.</summary>
    public long WeightBytes { get; init; }

    /// <summary>Lower bound of the images of a batch; 0 for any. From 8 images on a convolution is computed image by image, one to a thread.</summary>
    public int Images { get; init; }

    /// <summary>Whether the rule is for such work.</summary>
    internal bool Suits(KernelKind kernel, in KernelWork work) =>
        Kernel == kernel && Values == work.Values && Size <= work.Size && Columns <= work.Columns && WeightBytes <= work.WeightBytes && BlockRows <= work.BlockRows && Images <= work.Images;
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
    private const int Version = 15;

    // A table has some two hundred rules of 150 bytes.
    private const long LargestFile = 4 << 20;

    private readonly BreakEven[] _entries;

    /// <summary>A table of rules.</summary>
    /// <param name="entries">In any order.</param>
    /// <param name="origin">Where the numbers come from, as the plan prints it.</param>
    /// <exception cref="ArgumentException">A rule is null, names no kernel or type, has a negative size or a density outside of 0..<see cref="BreakEven.MostDensity"/>, or occurs twice.</exception>
    public BreakEvenTable(IEnumerable<BreakEven> entries, string origin)
    {
        ArgumentNullException.ThrowIfNull(entries);
        ArgumentNullException.ThrowIfNull(origin);
        BreakEven[] given = [.. entries];
        if (Array.Exists(given, e => e is null)) throw new ArgumentException("A rule is null.", nameof(entries));
        // The last that suits counts: the form of the work before its size.
        _entries = [.. given.OrderBy(e => e.Kernel).ThenBy(e => e.Values).ThenBy(e => e.Images).ThenBy(e => e.BlockRows).ThenBy(e => e.Size).ThenBy(e => e.WeightBytes).ThenBy(e => e.Columns)];
        Origin = origin;
        for (int i = 0; i < _entries.Length; i++)
        {
            BreakEven e = _entries[i];
            if (e.Size < 0 || e.Columns < 0 || e.WeightBytes < 0 || e.BlockRows < 0 || e.Images < 0 || !Enum.IsDefined(e.Kernel) || !Enum.IsDefined(e.Values) || !(e.Density >= 0 && e.Density <= BreakEven.MostDensity)) throw new ArgumentException($"{e} is no rule: kernels and types have names, sizes are at least 0, densities in 0..{BreakEven.MostDensity}.", nameof(entries));
            if (i > 0 && (_entries[i - 1] with { Density = e.Density }) == e) throw new ArgumentException($"{e.Kernel} from {e.Size} on is given twice.", nameof(entries));
        }
    }

    /// <summary>
    /// The constants that are used when nothing was measured, for the instruction level in use, for whether kernels are compiled, and then for whether units of 512 bits are whole (<see cref="Kernels.Simd.VectorUnits"/>): nine tenths of the lesser of what one and two threads gave on an
    /// x64 server with that level. Nothing was measured on other processors: they have half of these.
    /// </summary>
    public static BreakEvenTable BuiltIn => Planning.BuiltInPoints.Current;

    /// <summary>Name of the environment variable with the folder for what is measured once per machine; where it is not set, <c>sparseland</c> in the user's folder for local application data (<c>~/.local/share</c> on Linux).</summary>
    public const string FolderVariable = "SPARSELAND_CACHE";

    /// <summary>The file in that folder for this processor, instruction level and number of threads.</summary>
    public static string MachinePath => Planning.MachinePoints.Path;

    /// <summary>The points that were measured on this machine with the threads in use (see <see cref="MachinePath"/>) where there are any that hold, else <see cref="BuiltIn"/>: what sessions use by default.</summary>
    /// <returns>Read once, and again when the file was written since. A file that cannot be read, or that holds no table, is as good as none: nothing is thrown.</returns>
    public static BreakEvenTable ForThisMachine() => ForThisMachine(out _);

    /// <inheritdoc cref="ForThisMachine()"/>
    /// <param name="refusal">Why the file was not taken; null when it was, or when there is none.</param>
    public static BreakEvenTable ForThisMachine(out string? refusal)
    {
        (BreakEvenTable? table, refusal) = Planning.MachinePoints.Read();
        return table ?? BuiltIn;
    }

    /// <summary>Keeps these points for this machine, in <see cref="MachinePath"/>: every session from now on uses them by default.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder is not to be written.</exception>
    public void SaveForThisMachine()
    {
        string path = MachinePath;
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        Save(path);
    }

    /// <summary>Where the numbers come from.</summary>
    public string Origin { get; }

    /// <summary>What disturbed the measurement (other programs, cores that are far from each other); null when nothing was seen, or when nothing was measured. It is not kept in a file.</summary>
    public string? Disturbance { get; init; }

    /// <summary>What the points were measured with; null when they were not, and hold anywhere.</summary>
    internal BreakEvenConditions? Conditions { get; init; }

    /// <summary>The rules, sorted by kernel, type of the values, images, rows of a block, size, bytes of the weight and columns.</summary>
    public IReadOnlyList<BreakEven> Entries => _entries;

    /// <summary>The density at which a kernel breaks even for some work; 0 when it never wins.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="work">Its work.</param>
    public double For(KernelKind kernel, in KernelWork work) => Find(kernel, work)?.Density ?? 0;

    /// <summary>The rule that counts for a kernel and some work; null where there is none.</summary>
    internal BreakEven? Find(KernelKind kernel, in KernelWork work)
    {
        BreakEven? found = null;
        foreach (BreakEven e in _entries)
        {
            if (e.Suits(kernel, work)) found = e;
        }
        return found;
    }

    /// <summary>How many times faster than dense a kernel is expected to be; below 1 it loses.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="work">Its work.</param>
    /// <param name="cost">Work as a fraction of the dense one: the stored fraction of the weight and, for products with many columns, what copying inputs adds.</param>
    public double Speedup(KernelKind kernel, in KernelWork work, double cost) => kernel == KernelKind.Dense ? 1 : SpeedupOf(Find(kernel, work), cost);

    /// <summary>The same by a rule; 0 without one.</summary>
    internal static double SpeedupOf(BreakEven? rule, double cost) => (rule?.Density ?? 0) / Math.Max(cost, 0.005);

    /// <summary>Measures the break-even points of this machine with the threads in use; takes some 25 seconds, twice that or more beside other programs: a point whose time was not the same twice is measured again.</summary>
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
        // Two programs may write at once.
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            File.WriteAllText(temporary, JsonSerializer.Serialize(new BreakEvenFile(Version, Origin, Conditions, _entries), BreakEvenJson.Default.BreakEvenFile));
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    /// <summary>Reads a table that <see cref="Save"/> wrote.</summary>
    /// <exception cref="Model.ModelFormatException">
    /// SL1090: the file is no break-even table. SL1091: it was measured with other kernels, on another processor, at another instruction level or with another number of threads.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file is not to be read, or is a folder.</exception>
    public static BreakEvenTable Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > LargestFile }) throw new ArgumentException("it is too large");
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
