using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Formats.Onnx.Conformance;
using Sparseland.Model.Graph;
using Xunit.Abstractions;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>Files that we write load in ONNX Runtime and give there what they give here.</summary>
public sealed class OnnxRuntimeAgreementTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Read, written again in our form: whatever ONNX Runtime runs as it was, it must run as we wrote it, with the same result.</summary>
    [SkippableFact]
    public void Rewritten_conformance_models_behave_as_the_originals()
    {
        string root = TestData.Require("onnx-conformance");
        OnnxRuntimeBatch.Require();
        var batch = new OnnxRuntimeBatch(_folder.Path);
        var names = new List<string>();
        foreach (ConformanceCase one in ConformanceCase.Find(root))
        {
            // No two runs of these agree.
            if (one.Name.Contains("bernoulli", StringComparison.Ordinal) || one.Name.Contains("training_dropout", StringComparison.Ordinal)) continue;
            if (Inputs(one, out ModelGraph? graph) is not { } inputs) continue;
            string rewritten = _folder[$"{names.Count}.onnx"];
            OnnxWriter.Write(graph!, rewritten);
            batch.Add(one.ModelPath, inputs);
            batch.Add(rewritten, inputs);
            names.Add(one.Name);
        }
        List<OnnxRuntimeBatch.Outcome> outcomes = batch.Run();
        int agreed = 0;
        var failures = new List<string>();
        for (int i = 0; i < names.Count; i++)
        {
            OnnxRuntimeBatch.Outcome original = outcomes[2 * i], rewritten = outcomes[(2 * i) + 1];
            if (original.Error is not null) continue;
            string? difference = rewritten.Error;
            double deviation = 0;
            foreach ((string name, TensorData expected) in original.Outputs)
            {
                difference ??= rewritten.Outputs.TryGetValue(name, out TensorData? actual)
                    ? TensorComparison.Difference(expected, actual, 1e-5, 1e-4, ref deviation)
                    : $"output '{name}' is missing";
            }
            if (difference is null) agreed++;
            else failures.Add($"{names[i]}: {difference}");
        }
        output.WriteLine($"{agreed} of {names.Count} agree; ONNX Runtime runs {agreed + failures.Count} of the originals");
        failures.ForEach(output.WriteLine);
        Assert.Empty(failures);
        Assert.True(agreed > 400, $"{agreed} agree");
    }

    [SkippableFact]
    public void Operators_rewritten_for_older_opsets_give_our_results()
    {
        OnnxRuntimeBatch.Require();
        var batch = new OnnxRuntimeBatch(_folder.Path);
        var cases = new List<(string Name, IReadOnlyDictionary<string, TensorData> Expected)>();
        foreach (string name in OpsetDowngradeTests.Names)
        {
            (ModelGraph graph, Dictionary<string, TensorData> feeds) = OpsetDowngradeTests.Build(name);
            IReadOnlyDictionary<string, TensorData> expected = GraphEvaluator.Run(graph, feeds);
            foreach (int opset in (int[])[17, 21])
            {
                string path = _folder[$"{cases.Count}.onnx"];
                OnnxWriter.Write(graph, path, new OnnxWriteOptions { Opset = opset });
                batch.Add(path, feeds);
                cases.Add(($"{name}, opset {opset}", expected));
            }
        }
        Compare(cases, batch.Run());
    }

    [SkippableTheory]
    [InlineData("ultraface", "version-RFB-320_without_postprocessing.onnx")]
    [InlineData("silero-vad", "silero_vad_16k_op15.onnx")]
    public void Public_models_written_with_masks_and_external_data_give_our_results(string folder, string file)
    {
        string path = TestData.Require(folder, file);
        OnnxRuntimeBatch.Require();
        ModelGraph graph = OnnxReader.Read(path);
        foreach (Weight weight in graph.Weights.Values)
        {
            if (weight.ElementType != ElementType.Float32 || weight.Shape.Length < 2) continue;
            TensorData data = weight.Read().Clone();
            Span<float> values = data.Span<float>();
            for (int i = 0; i < values.Length; i += 2) values[i] = 0;
            weight.Set(data);
            weight.SetMask(data.NonZeros());
        }
        var random = new Random(1);
        var feeds = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (GraphValue input in graph.Inputs)
        {
            int[] shape = [.. (input.Type.Shape ?? TensorShape.Scalar).Select((d, i) => d.IsKnown ? d.Value : i == 0 || input.Type.Shape!.Rank == 3 ? 1 : 576)];
            TensorData data = TensorData.Zeros(input.Type.ElementType, shape);
            if (data.ElementType == ElementType.Int64) data.Span<long>().Fill(16000);
            else foreach (ref float v in data.Span<float>()) v = random.NextSingle() - 0.5f;
            feeds[input.Name] = data;
        }
        OnnxWriter.Write(graph, _folder["m.onnx"], new OnnxWriteOptions { ExternalData = true });
        var batch = new OnnxRuntimeBatch(_folder.Path);
        batch.Add(_folder["m.onnx"], feeds);
        Compare([(file, GraphEvaluator.Run(graph, feeds))], batch.Run());
    }

    private static void Compare(List<(string Name, IReadOnlyDictionary<string, TensorData> Expected)> cases, List<OnnxRuntimeBatch.Outcome> outcomes)
    {
        for (int i = 0; i < cases.Count; i++)
        {
            Assert.True(outcomes[i].Error is null, $"{cases[i].Name}: {outcomes[i].Error}");
            foreach ((string name, TensorData expected) in cases[i].Expected)
                Near.Equal(expected.ToSingles(), outcomes[i].Outputs[name].ToSingles(), 1e-4, 1e-4, $"{cases[i].Name}, {name}");
        }
    }

    /// <summary>The first data set's inputs, or null when they or the model cannot be handed over.</summary>
    private static Dictionary<string, TensorData>? Inputs(ConformanceCase one, out ModelGraph? graph)
    {
        graph = null;
        try
        {
            graph = OnnxReader.Read(one.ModelPath);
            if (graph.Inputs.Concat(graph.Outputs).Any(v => v.ForeignType is not null || !OnnxRuntimeBatch.Takes(v.Type.ElementType))) return null;
            var inputs = new Dictionary<string, TensorData>(StringComparer.Ordinal);
            for (int i = 0; File.Exists(Path.Combine(one.DataSets[0], $"input_{i}.pb")); i++)
                inputs[graph.Inputs[i].Name] = OnnxTensor.Read(Path.Combine(one.DataSets[0], $"input_{i}.pb"));
            return inputs;
        }
        catch (ModelFormatException e) when (e.Code is "SL1102" or "SL1105")
        {
            return null; // OnnxRealFileTests holds the list of refusals
        }
    }
}
