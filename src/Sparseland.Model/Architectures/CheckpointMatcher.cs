using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>How far a checkpoint and an architecture are apart.</summary>
/// <param name="Architecture">The architecture.</param>
/// <param name="Options">Its options, taken from the checkpoint's shapes as far as they show.</param>
/// <param name="Matched">Tensors whose name and shape agree.</param>
/// <param name="Missing">Parameters that the checkpoint lacks.</param>
/// <param name="Unexpected">Tensors that the architecture has no place for.</param>
/// <param name="Different">Tensors of another shape: name, shape here, shape in the checkpoint.</param>
public sealed record CheckpointDifference(Architecture Architecture, ArchitectureOptions Options, int Matched,
    IReadOnlyList<string> Missing, IReadOnlyList<string> Unexpected, IReadOnlyList<string> Different)
{
    /// <summary>Whether every tensor found its place.</summary>
    public bool IsExact => Missing.Count == 0 && Unexpected.Count == 0 && Different.Count == 0;

    /// <summary>Share of all names on either side that agree, 0 to 1.</summary>
    public double Agreement => (double)Matched / Math.Max(1, Matched + Missing.Count + Unexpected.Count + Different.Count);

    /// <summary>One line for people, with the first differences.</summary>
    public string Describe()
    {
        var parts = new List<string> { $"{Architecture.Id}: {Matched} agree" };
        if (Different.Count > 0) parts.Add($"{Different.Count} of another shape ({Some(Different)})");
        if (Missing.Count > 0) parts.Add($"{Missing.Count} missing ({Some(Missing)})");
        if (Unexpected.Count > 0) parts.Add($"{Unexpected.Count} unexpected ({Some(Unexpected)})");
        return string.Join("; ", parts);

        static string Some(IReadOnlyList<string> names) => string.Join(", ", names.Take(3)) + (names.Count > 3 ? " ..." : "");
    }
}

/// <summary>Finds the architecture that a checkpoint without a graph belongs to, by names and shapes.</summary>
/// <remarks>
/// Wrappers' prefixes are taken off, counters that do not matter for inference are ignored, tensors of half or double precision become
/// single precision, and pairs <c>x_orig</c>, <c>x_mask</c> (as PyTorch's pruning writes them) become a weight with a mask.
/// </remarks>
public static class CheckpointMatcher
{
    private static readonly string[] s_prefixes = ["module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder."];
    private static readonly string[] s_ignored = [".num_batches_tracked", ".inv_freq", ".total_ops", ".total_params"];

    /// <summary>Builds the model that a checkpoint belongs to; values stay in the file until they are read.</summary>
    /// <param name="checkpoint">The tensors.</param>
    /// <param name="architecture">Decides by hand which architecture it is; null finds out.</param>
    /// <param name="options">Decides by hand about its options, <c>name=value,name=value</c>; null takes them from shapes.</param>
    /// <exception cref="ModelFormatException">SL1701: nothing matches; the nearest candidates and what differs are listed.</exception>
    /// <exception cref="SparselandException">SL4101, SL4102: no such architecture or option.</exception>
    public static ModelGraph Match(Checkpoint checkpoint, string? architecture = null, string? options = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        List<CheckpointDifference> candidates = Compare(checkpoint, architecture, options);
        CheckpointDifference best = candidates[0];
        if (!best.IsExact) throw NoMatch(checkpoint, candidates, architecture);
        return Fill(checkpoint, best);
    }

    /// <summary>How far a checkpoint is from every architecture (or one), nearest first.</summary>
    public static List<CheckpointDifference> Compare(Checkpoint checkpoint, string? architecture = null, string? options = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        IEnumerable<Architecture> choice = architecture is null ? ArchitectureCatalog.All : [ArchitectureCatalog.Get(architecture)];
        var found = new List<CheckpointDifference>();
        foreach (Architecture candidate in choice)
        {
            CheckpointDifference? best = null;
            foreach (Dictionary<string, Source> sources in Readings(checkpoint, candidate))
            {
                CheckpointDifference difference = Compare(candidate, sources, options);
                if (best is null || difference.Agreement > best.Agreement) best = difference;
                if (best.IsExact) break;
            }
            found.Add(best!);
            if (best!.IsExact) break;
        }
        // A stable sort: where two are equally near, the catalogue's order decides.
        return [.. found.OrderByDescending(d => d.IsExact).ThenByDescending(d => d.Agreement)];
    }

    private static CheckpointDifference Compare(Architecture architecture, Dictionary<string, Source> sources, string? text)
    {
        var shapes = new CheckpointShapes(sources.ToDictionary(s => s.Key, s => s.Value.Values.Shape.ToArray(), StringComparer.Ordinal));
        ArchitectureOptions options;
        try
        {
            options = architecture.Infer(shapes) ?? architecture.DefaultOptions();
        }
        catch (SparselandException) when (text is null)
        {
            // The shapes suggest sizes beyond the options' ranges: it is some other network.
            options = architecture.DefaultOptions();
        }
        if (text is not null) options.Parse(text);
        ModelGraph graph;
        try
        {
            graph = architecture.BuildStructure(options);
        }
        catch (Exception e) when (text is null && e is SparselandException or InvalidOperationException)
        {
            options = architecture.DefaultOptions();
            graph = architecture.BuildStructure(options);
        }
        int matched = 0;
        var missing = new List<string>();
        var different = new List<string>();
        var unexpected = new HashSet<string>(sources.Keys, StringComparer.Ordinal);
        foreach (Weight weight in Parameters(graph))
        {
            unexpected.Remove(weight.Name);
            if (!sources.TryGetValue(weight.Name, out Source? source)) missing.Add(weight.Name);
            else if (source.Values.Shape.SequenceEqual(weight.Shape)) matched++;
            else different.Add($"{weight.Name} {Shape(weight.Shape)} here, {Shape(source.Values.Shape)} in the file");
        }
        return new CheckpointDifference(architecture, options, matched, missing, [.. unexpected.Order(StringComparer.Ordinal)], different);
    }

    private static ModelGraph Fill(Checkpoint checkpoint, CheckpointDifference match)
    {
        ModelGraph graph = match.Architecture.BuildStructure(match.Options);
        Dictionary<string, Source> sources = Readings(checkpoint, match.Architecture).First(s => Compare(match.Architecture, s, match.Options.ToString()).IsExact);
        foreach (Weight weight in Parameters(graph).ToList())
        {
            Source source = sources[weight.Name];
            WeightStorage storage = source.Values.ElementType == ElementType.Float32 ? source.Values : new SingleStorage(source.Values);
            Mask? mask = source.Mask is null ? null : Mask.FromNonZeros(weight.Shape, source.Mask.Read().ToSingles());
            graph.Weights[weight.Name] = new Weight(weight.Name, storage, mask);
        }
        return graph;
    }

    private static IEnumerable<Weight> Parameters(ModelGraph graph) => graph.Weights.Values.Where(w => w.Storage is GraphBuilder.UndrawnStorage);

    /// <summary>The checkpoint as it is, then with one common prefix after the other taken off.</summary>
    private static IEnumerable<Dictionary<string, Source>> Readings(Checkpoint checkpoint, Architecture architecture)
    {
        List<KeyValuePair<string, WeightStorage>> tensors = [.. checkpoint.Tensors.Where(t => !s_ignored.Any(i => t.Key.EndsWith(i, StringComparison.Ordinal)))];
        while (true)
        {
            yield return ToSources(tensors, architecture);
            string? prefix = tensors.Count == 0 ? null : s_prefixes.FirstOrDefault(p => tensors.TrueForAll(t => t.Key.StartsWith(p, StringComparison.Ordinal) && t.Key.Length > p.Length));
            if (prefix is null) yield break;
            tensors = tensors.ConvertAll(t => KeyValuePair.Create(t.Key[prefix.Length..], t.Value));
        }
    }

    private static Dictionary<string, Source> ToSources(List<KeyValuePair<string, WeightStorage>> tensors, Architecture architecture)
    {
        var all = new Dictionary<string, WeightStorage>(StringComparer.Ordinal);
        foreach ((string name, WeightStorage storage) in tensors) all[name] = storage;
        var sources = new Dictionary<string, Source>(StringComparer.Ordinal);
        foreach ((string name, WeightStorage storage) in all)
        {
            string plain = name;
            WeightStorage? mask = null;
            if (name.EndsWith("_mask", StringComparison.Ordinal) && all.ContainsKey(name[..^"_mask".Length] + "_orig")) continue;
            if (name.EndsWith("_orig", StringComparison.Ordinal) && all.TryGetValue(name[..^"_orig".Length] + "_mask", out mask) && mask.Shape.SequenceEqual(storage.Shape)) plain = name[..^"_orig".Length];
            else mask = null;
            sources[architecture.Rename(plain)] = new Source(storage, mask);
        }
        return sources;
    }

    private static ModelFormatException NoMatch(Checkpoint checkpoint, List<CheckpointDifference> candidates, string? architecture)
    {
        List<CheckpointDifference> near = [.. candidates.Where(c => c.Matched > 0 || architecture is not null).Take(3)];
        return new ModelFormatException("SL1701", architecture is null
            ? "the checkpoint has no graph, and its tensors match no known architecture"
            : $"the checkpoint's tensors do not match architecture '{architecture}'")
        {
            Where = checkpoint.ToString(),
            Because = near.Count > 0 ? "nearest: " + string.Join("\n            ", near.Select(c => c.Describe())) : "not a single name and shape agree with any of them",
            Try = "--architecture NAME decides by hand (sparseland list architectures); or export the model to ONNX, which holds its graph",
        };
    }

    private static string Shape(ReadOnlySpan<int> shape) => $"[{string.Join(", ", shape.ToArray())}]";

    /// <summary>Values and, from PyTorch's pruning, their mask.</summary>
    private sealed record Source(WeightStorage Values, WeightStorage? Mask);

    /// <summary>Another element type, read as single precision.</summary>
    private sealed class SingleStorage(WeightStorage source) : WeightStorage
    {
        public override ElementType ElementType => ElementType.Float32;

        public override ReadOnlySpan<int> Shape => source.Shape;

        public override TensorData Read() => source.Read().ToFloat32();
    }
}
