using System.Globalization;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Graph;
using Sparseland.Training.Optimizers;

namespace Sparseland.Training.Runs;

/// <summary>Everything that the next step of a run depends on, in one safetensors file.</summary>
/// <remarks>
/// Tensors: <c>weight/NAME</c>, <c>mask/NAME</c> (bits, 8 per byte, lowest first), <c>buffer/NAME</c>, <c>moment/NAME/MOMENT</c>, <c>average/NAME</c>,
/// <c>callback/CALLBACK/KEY</c>, <c>history</c> [evaluations, 7]. Metadata: version, step, the optimizer's algorithm and step, the number of training
/// passes (which fixes dropout), the smoothed loss, and what the run is recognised by. Batches and learning rates are functions of the step.
/// </remarks>
internal sealed class TrainingCheckpoint
{
    private const string Version = "1";
    private readonly SortedDictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorData> _tensors = new(StringComparer.Ordinal);

    public static TrainingCheckpoint Capture(Trainer trainer)
    {
        var checkpoint = new TrainingCheckpoint();
        foreach ((string key, string value) in Identity(trainer)) checkpoint._metadata[key] = value;
        TrainableModel model = trainer.Model;
        OptimizerState optimizer = trainer.Optimizer.Export();
        checkpoint._metadata["sparseland.checkpoint"] = Version;
        checkpoint._metadata["step"] = Text(trainer.Step);
        checkpoint._metadata["passes"] = Text(model.TrainingPasses);
        checkpoint._metadata["optimizer"] = optimizer.Algorithm;
        checkpoint._metadata["optimizer.steps"] = Text(optimizer.Steps);
        checkpoint._metadata["loss.bits"] = Text(BitConverter.DoubleToInt64Bits(trainer.SmoothedLoss));
        foreach (Parameter p in model.Parameters)
        {
            checkpoint._tensors["weight/" + p.Name] = p.Value.ToTensorData();
            if (p.Mask is { } mask) checkpoint._tensors["mask/" + p.Name] = TensorData.Vector(MemoryMarshal.AsBytes(mask.Words).ToArray());
        }
        foreach (ModelBuffer b in model.Buffers) checkpoint._tensors["buffer/" + b.Name] = b.Value.ToTensorData();
        foreach ((string key, TensorData value) in optimizer.Moments) checkpoint._tensors["moment/" + key] = value;
        if (trainer.Average is { } average)
        {
            foreach ((string key, TensorData value) in average.Export()) checkpoint._tensors["average/" + key] = value;
        }
        foreach (ITrainerCallback callback in trainer.Options.Callbacks)
        {
            foreach ((string key, TensorData value) in callback.Export()) checkpoint._tensors[$"callback/{callback.Name}/{key}"] = value;
        }
        if (trainer.History.Count > 0)
        {
            double[] rows = [.. trainer.History.SelectMany(h => (double[])[h.Step, h.Evaluation.Samples, h.Evaluation.Scored, h.Evaluation.Loss, h.Evaluation.Top1, h.Evaluation.Top5, h.Evaluation.BitsPerByte ?? double.NaN])];
            checkpoint._tensors["history"] = TensorData.Wrap(rows, rows.Length / 7, 7);
        }
        return checkpoint;
    }

    public void Write(string path) =>
        SafetensorsWriter.Write(path, _tensors.Select(t => KeyValuePair.Create(t.Key, WeightStorage.InMemory(t.Value))), _metadata);

    public static TrainingCheckpoint Read(string path)
    {
        Checkpoint file = SafetensorsReader.Open(path);
        var checkpoint = new TrainingCheckpoint();
        foreach ((string key, string value) in file.Metadata) checkpoint._metadata[key] = value;
        string? version = file.Metadata.GetValueOrDefault("sparseland.checkpoint");
        if (version != Version) throw Mismatch(path, version is null ? "the file is no training checkpoint" : $"the checkpoint has version {version}; this program knows {Version}");
        foreach ((string key, WeightStorage value) in file.Tensors) checkpoint._tensors[key] = value.Read();
        return checkpoint;
    }

    public void Apply(Trainer trainer, string path)
    {
        TrainableModel model = trainer.Model;
        // Everything is checked before anything is changed.
        foreach ((string key, string value) in Identity(trainer))
        {
            string? there = _metadata.GetValueOrDefault(key);
            if (there != value) throw Mismatch(path, $"{key} is '{there}' there and '{value}' in this run");
        }
        long step = Number("step", path), passes = Number("passes", path), steps = Number("optimizer.steps", path), loss = Number("loss.bits", path);
        if (step < 0 || passes < 0 || steps < 0) throw Mismatch(path, "a count is negative");
        var values = new List<(Autograd.Tensor To, float[] From)>();
        var masks = new List<(Parameter Parameter, Mask? Mask)>();
        foreach (Parameter p in model.Parameters)
        {
            values.Add((p.Value, Find("weight/" + p.Name, p.Value, path)));
            masks.Add((p, FindMask(p, path)));
        }
        foreach (ModelBuffer b in model.Buffers) values.Add((b.Value, Find("buffer/" + b.Name, b.Value, path)));
        var average = Below("average/");
        if (trainer.Average is null != (average.Count == 0)) throw Mismatch(path, "weights are averaged in only one of the two runs");
        (long, Evaluation)[] history = History(path);

        foreach ((Parameter p, Mask? mask) in masks)
        {
            if (mask is null ? p.Mask is not null : !mask.Equals(p.Mask)) model.SetMask(p, mask);
        }
        foreach ((Autograd.Tensor to, float[] from) in values) from.CopyTo(to.Values);
        foreach (Parameter p in model.Parameters) p.TouchValues();
        model.TrainingPasses = passes;
        trainer.Optimizer.Import(new OptimizerState(_metadata.GetValueOrDefault("optimizer") ?? "", steps, Below("moment/")));
        trainer.Average?.Import(average);
        foreach (ITrainerCallback callback in trainer.Options.Callbacks) callback.Import(Below($"callback/{callback.Name}/"));
        trainer.SmoothedLoss = BitConverter.Int64BitsToDouble(loss);
        trainer.SetHistory(history);
        trainer.SetStep(step);
    }

    /// <summary>What must agree for a resumption to mean anything.</summary>
    private static IEnumerable<(string Key, string Value)> Identity(Trainer trainer)
    {
        yield return ("run.steps", Text(trainer.Options.Steps));
        if (trainer.Options.FirstStep > 0) yield return ("run.first", Text(trainer.Options.FirstStep));
        yield return ("run.samples", Text(trainer.Loader.Dataset.Count));
        yield return ("run.batch", Text(trainer.Loader.Options.BatchSize));
        yield return ("run.shuffle", trainer.Loader.Options.Shuffle ? "yes" : "no");
        yield return ("run.seed", Text(trainer.Loader.Options.Seed));
        yield return ("run.model.seed", trainer.Model.Options.Seed.ToString(CultureInfo.InvariantCulture));
        yield return ("run.rate", trainer.LearningRate.ToString() ?? "");
        yield return ("run.parameters", Text(trainer.Model.Parameters.Count));
        yield return ("run.callbacks", string.Join(", ", trainer.Options.Callbacks.Select(c => c.Name)));
    }

    private Dictionary<string, TensorData> Below(string prefix) => _tensors
        .Where(t => t.Key.StartsWith(prefix, StringComparison.Ordinal))
        .ToDictionary(t => t.Key[prefix.Length..], t => t.Value, StringComparer.Ordinal);

    private float[] Find(string key, Autograd.Tensor like, string path)
    {
        if (!_tensors.TryGetValue(key, out TensorData? data)) throw Mismatch(path, $"'{key}' is missing");
        if (data.ElementType != ElementType.Float32 || !data.Shape.SequenceEqual(like.Shape)) throw Mismatch(path, $"'{key}' is {data}, the model has {like}");
        return data.Array<float>();
    }

    private Mask? FindMask(Parameter p, string path)
    {
        if (!_tensors.TryGetValue("mask/" + p.Name, out TensorData? data)) return null;
        if (data.ElementType != ElementType.UInt8 || data.Length != (p.Value.Length + 63) / 64 * 8) throw Mismatch(path, $"the mask of '{p.Name}' is {data}");
        try
        {
            return Mask.FromWords(p.Value.Shape, MemoryMarshal.Cast<byte, ulong>(data.Span<byte>()));
        }
        catch (ArgumentException e)
        {
            throw Mismatch(path, $"the mask of '{p.Name}': {e.Message}");
        }
    }

    private (long, Evaluation)[] History(string path)
    {
        if (!_tensors.TryGetValue("history", out TensorData? data)) return [];
        if (data.ElementType != ElementType.Float64 || data.Rank != 2 || data.Shape[1] != 7) throw Mismatch(path, $"the history is {data}");
        return [.. data.Array<double>().Chunk(7).Select(r => ((long)r[0], new Evaluation((int)r[1], (long)r[2], r[3], r[4], r[5], double.IsNaN(r[6]) ? null : r[6])))];
    }

    private long Number(string key, string path) => long.TryParse(_metadata.GetValueOrDefault(key), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value)
        ? value
        : throw Mismatch(path, $"'{key}' is no number");

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static SparselandException Mismatch(string path, string why) => new("SL3013", "the checkpoint does not belong to this run: " + why)
    {
        Where = path,
        Try = "resume with the model, data and recipe that wrote it, or start anew without --resume",
    };
}
