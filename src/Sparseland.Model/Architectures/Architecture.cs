using System.Globalization;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>What kind of value an option takes.</summary>
public enum OptionKind
{
    /// <summary>A whole number.</summary>
    Integer,

    /// <summary>Any number.</summary>
    Number,

    /// <summary>0 or 1.</summary>
    Flag,
}

/// <summary>An option of an architecture.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Kind">What it takes.</param>
/// <param name="Default">The value when it is not set.</param>
/// <param name="Minimum">Smallest value allowed.</param>
/// <param name="Maximum">Largest value allowed.</param>
/// <param name="Summary">One line of help.</param>
public sealed record ArchitectureOption(string Name, OptionKind Kind, double Default, double Minimum, double Maximum, string Summary);

/// <summary>Values of an architecture's options; what is not set has its default.</summary>
public sealed class ArchitectureOptions
{
    private readonly Architecture _architecture;
    private readonly SortedDictionary<string, double> _values = new(StringComparer.Ordinal);

    internal ArchitectureOptions(Architecture architecture)
    {
        _architecture = architecture;
        foreach (ArchitectureOption option in architecture.Options) _values[option.Name] = option.Default;
    }

    /// <summary>Sets an option.</summary>
    /// <exception cref="SparselandException">SL4101: no such option, or a value out of range.</exception>
    public ArchitectureOptions Set(string name, double value)
    {
        ArchitectureOption option = Option(name);
        if (!(value >= option.Minimum && value <= option.Maximum) || (option.Kind != OptionKind.Number && value != Math.Floor(value)))
        {
            throw new SparselandException("SL4101", $"{_architecture.Id}: option {name} cannot be {value.ToString(CultureInfo.InvariantCulture)}")
            {
                Because = $"it takes {(option.Kind == OptionKind.Number ? "numbers" : "whole numbers")} from {option.Minimum.ToString(CultureInfo.InvariantCulture)} to {option.Maximum.ToString(CultureInfo.InvariantCulture)}",
            };
        }
        _values[name] = value;
        return this;
    }

    /// <summary>Reads <c>name=value,name=value</c>.</summary>
    /// <exception cref="SparselandException">SL4101: anything else.</exception>
    public ArchitectureOptions Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1 || !double.TryParse(part.AsSpan(equals + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out double value))
                throw new SparselandException("SL4101", $"'{part}' is no option of the form name=value") { Try = "for example width=64,classes=10" };
            Set(part[..equals].Trim(), value);
        }
        return this;
    }

    /// <summary>An integer option.</summary>
    public int Int(string name) => (int)_values[Option(name).Name];

    /// <summary>A numeric option.</summary>
    public double Number(string name) => _values[Option(name).Name];

    /// <summary>A yes-or-no option.</summary>
    public bool Flag(string name) => _values[Option(name).Name] != 0;

    /// <inheritdoc/>
    public override string ToString() => string.Join(",", _values.Select(v => $"{v.Key}={v.Value.ToString("R", CultureInfo.InvariantCulture)}"));

    private ArchitectureOption Option(string name) => _architecture.Options.FirstOrDefault(o => o.Name == name)
        ?? throw new SparselandException("SL4101", $"{_architecture.Id} has no option '{name}'") { Try = $"its options are: {string.Join(", ", _architecture.Options.Select(o => o.Name))}" };
}

/// <summary>A family of networks that is written here as a builder function.</summary>
/// <remarks>Parameter names are those of the well-known checkpoints. All image inputs are [batch, channels, height, width], batch free.</remarks>
public abstract class Architecture
{
    /// <summary>Name on the command line, such as <c>resnet20</c>.</summary>
    public abstract string Id { get; }

    /// <summary>Name for people.</summary>
    public abstract string Title { get; }

    /// <summary>The paper, with authors and section where it helps.</summary>
    public abstract string Paper { get; }

    /// <summary>The options.</summary>
    public abstract IReadOnlyList<ArchitectureOption> Options { get; }

    /// <summary>Shape of the input for given options, batch as a named unknown.</summary>
    public abstract TensorShape InputShape(ArchitectureOptions options);

    /// <summary>How pictures become the input; null for other inputs.</summary>
    public virtual InputNormalization? Normalization(ArchitectureOptions options) => null;

    /// <summary>Options with their defaults.</summary>
    public ArchitectureOptions DefaultOptions() => new(this);

    /// <summary>Builds the network with weights drawn from a seed.</summary>
    /// <param name="options">Options; defaults when null.</param>
    /// <param name="seed">Same seed, same weights, on every machine.</param>
    /// <exception cref="SparselandException">SL4101: options that do not fit together.</exception>
    public ModelGraph Build(ArchitectureOptions? options = null, int seed = 0) => Build(options ?? DefaultOptions(), new GraphBuilder(Id, seed));

    /// <summary>The graph without values: for matching checkpoints by names and shapes.</summary>
    internal ModelGraph BuildStructure(ArchitectureOptions options) => Build(options, new GraphBuilder(Id) { StructureOnly = true });

    /// <summary>Writes the network: inputs, layers and outputs.</summary>
    protected abstract void Write(GraphBuilder g, ArchitectureOptions options);

    /// <summary>Options that a checkpoint's names and shapes suggest; null when it does not look like this architecture at all.</summary>
    internal virtual ArchitectureOptions? Infer(CheckpointShapes shapes) => null;

    /// <summary>The name here of a tensor that other implementations name differently.</summary>
    internal virtual string Rename(string name) => name;

    /// <summary>Names of the classes when they are known for that many.</summary>
    protected virtual IReadOnlyList<string>? ClassNames(ArchitectureOptions options) => null;

    /// <summary>An error about options that do not fit together.</summary>
    protected SparselandException OptionError(string because) => new("SL4101", $"{Id}: the options do not fit together") { Because = because };

    /// <summary>An input of pictures.</summary>
    protected static TensorShape Images(int channels, int height, int width) => new(Dimension.Named("batch"), channels, height, width);

    private ModelGraph Build(ArchitectureOptions options, GraphBuilder g)
    {
        Write(g, options);
        ModelGraph graph = g.Build();
        graph.Metadata[ModelMetadata.Architecture] = Id;
        graph.Metadata[ModelMetadata.ArchitectureOptions] = options.ToString();
        if (Normalization(options) is { } normalization) ModelMetadata.SetNormalization(graph.Metadata, normalization);
        if (ClassNames(options) is { } names) ModelMetadata.SetClassNames(graph.Metadata, names);
        return graph;
    }
}

/// <summary>Names and shapes of a checkpoint, as architectures look at them to find their options.</summary>
internal sealed class CheckpointShapes(IReadOnlyDictionary<string, int[]> shapes)
{
    internal IReadOnlyDictionary<string, int[]> All { get; } = shapes;

    /// <summary>The shape of a tensor of that rank; null when there is none.</summary>
    internal int[]? Find(string name, int rank) => All.TryGetValue(name, out int[]? shape) && shape.Length == rank ? shape : null;

    /// <summary>How many of prefix + 0 + suffix, prefix + 1 + suffix ... there are without a gap.</summary>
    internal int Count(string prefix, string suffix)
    {
        int count = 0;
        while (All.ContainsKey(prefix + count.ToString(CultureInfo.InvariantCulture) + suffix)) count++;
        return count;
    }
}
