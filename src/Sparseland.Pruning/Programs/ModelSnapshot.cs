using System.Runtime.InteropServices;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Graph;
using Sparseland.Training;

namespace Sparseland.Pruning.Programs;

/// <summary>A copy of everything that a model has learned: values, masks, running statistics. What rewinding goes back to.</summary>
public sealed class ModelSnapshot
{
    private readonly Dictionary<string, float[]> _values = new(StringComparer.Ordinal), _statistics = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Mask> _masks = new(StringComparer.Ordinal);

    private ModelSnapshot()
    {
    }

    /// <summary>Number of forward passes in training mode so far; fixes what dropout drops.</summary>
    public long TrainingPasses { get; private init; }

    /// <summary>Copies a model's state.</summary>
    public static ModelSnapshot Of(TrainableModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        var snapshot = new ModelSnapshot { TrainingPasses = model.TrainingPasses };
        foreach (Parameter p in model.Parameters)
        {
            snapshot._values[p.Name] = p.Value.ToArray();
            if (p.Mask is { } mask) snapshot._masks[p.Name] = mask;
        }
        foreach (ModelBuffer b in model.Buffers) snapshot._statistics[b.Name] = b.Value.ToArray();
        return snapshot;
    }

    /// <summary>Values of a parameter; must not be written.</summary>
    /// <exception cref="KeyNotFoundException">There is none of that name.</exception>
    public IReadOnlyList<float> Values(string name) => _values[name];

    /// <summary>The mask of a parameter, or null.</summary>
    public Mask? Mask(string name) => _masks.GetValueOrDefault(name);

    /// <summary>Goes back to the snapshot's values and statistics under the model's present masks: removed weights stay removed (rewinding).</summary>
    /// <remarks>Optimizer states belong to training runs; a run that starts afterwards starts with fresh ones.</remarks>
    public void Rewind(TrainableModel model) => Write(model, withMasks: false);

    /// <summary>Goes back to the snapshot, masks included.</summary>
    public void Restore(TrainableModel model) => Write(model, withMasks: true);

    /// <summary>Writes a safetensors file: to a temporary file first, then renamed.</summary>
    /// <param name="path">The file.</param>
    /// <param name="metadata">Kept with the snapshot.</param>
    public void Save(string path, IReadOnlyDictionary<string, string>? metadata = null)
    {
        Dictionary<string, string> all = metadata?.ToDictionary(m => m.Key, m => m.Value) ?? [];
        all["snapshot"] = "1";
        SafetensorsWriter.Write(path, ToTensors().Select(t => KeyValuePair.Create(t.Key, WeightStorage.InMemory(t.Value))), all);
    }

    /// <summary>Reads a file that <see cref="Save"/> wrote.</summary>
    /// <exception cref="Model.SparselandException">The file is damaged or no snapshot.</exception>
    public static (ModelSnapshot Snapshot, IReadOnlyDictionary<string, string> Metadata) Load(string path)
    {
        Checkpoint file = SafetensorsReader.Open(path);
        if (file.Metadata.GetValueOrDefault("snapshot") != "1") throw new PruningException("SL4015", "the file is no snapshot of a model") { Where = path, Try = "start anew without --resume" };
        return (FromTensors(file.Tensors.ToDictionary(t => t.Key, t => t.Value.Read(), StringComparer.Ordinal)), file.Metadata.ToDictionary(m => m.Key, m => m.Value, StringComparer.Ordinal));
    }

    internal IReadOnlyDictionary<string, TensorData> ToTensors()
    {
        var tensors = new Dictionary<string, TensorData>(StringComparer.Ordinal) { ["passes"] = TensorData.Vector(TrainingPasses) };
        foreach ((string name, float[] values) in _values) tensors["weight/" + name] = TensorData.Vector(values);
        foreach ((string name, Mask mask) in _masks)
        {
            tensors["mask/" + name] = TensorData.Vector(MemoryMarshal.AsBytes(mask.Words).ToArray());
            tensors["shape/" + name] = TensorData.Vector(Array.ConvertAll(mask.Shape.ToArray(), d => (long)d));
        }
        foreach ((string name, float[] values) in _statistics) tensors["buffer/" + name] = TensorData.Vector(values);
        return tensors;
    }

    internal static ModelSnapshot FromTensors(IReadOnlyDictionary<string, TensorData> tensors)
    {
        var snapshot = new ModelSnapshot { TrainingPasses = tensors["passes"].ToInt64s()[0] };
        foreach ((string key, TensorData data) in tensors)
        {
            int slash = key.IndexOf('/', StringComparison.Ordinal);
            string kind = slash < 0 ? "" : key[..slash], name = key[(slash + 1)..];
            if (kind == "weight") snapshot._values[name] = data.Array<float>();
            else if (kind == "buffer") snapshot._statistics[name] = data.Array<float>();
            else if (kind == "mask") snapshot._masks[name] = Kernels.Sparse.Mask.FromWords(Array.ConvertAll(tensors["shape/" + name].ToInt64s(), d => (int)d), MemoryMarshal.Cast<byte, ulong>(data.Span<byte>()));
        }
        return snapshot;
    }

    private void Write(TrainableModel model, bool withMasks)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (model.Parameters.FirstOrDefault(p => !_values.TryGetValue(p.Name, out float[]? v) || v.Length != p.Value.Length) is { } wrong)
            throw new PruningException("SL4015", $"the snapshot has no values of the shape of '{wrong.Name}'") { Try = "start anew without --resume" };
        foreach (Parameter p in model.Parameters)
        {
            if (withMasks && !Equals(p.Mask, Mask(p.Name))) model.SetMask(p, Mask(p.Name));
            _values[p.Name].CopyTo(p.Value.Values);
            p.TouchValues();
        }
        foreach (ModelBuffer b in model.Buffers) _statistics[b.Name].CopyTo(b.Value.Values);
        model.TrainingPasses = TrainingPasses;
        model.ZeroGrad();
    }
}
