using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Graph;
using Xunit.Abstractions;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>Every real file at hand is read; what is refused is refused for a reason that is written down here.</summary>
public sealed class OnnxRealFileTests(ITestOutputHelper output)
{
    /// <summary>Cases whose files need what we say we do not have: opset 1, and constants of 4-bit or 8-bit float types.</summary>
    private static readonly string[] s_refusals = ["SL1102", "SL1105"];

    [SkippableFact]
    public void Every_conformance_model_is_read_or_refused_by_version_or_element_type()
    {
        string root = TestData.Require("onnx-conformance");
        int read = 0;
        var refused = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        foreach (string path in Directory.EnumerateFiles(root, "*.onnx", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            try
            {
                ModelGraph graph = OnnxReader.Read(path);
                Assert.NotEmpty(graph.Outputs);
                Assert.DoesNotContain(GraphValidator.Violations(graph, allowUnknownOperators: true), v => v.Code is not "SL2003");
                read++;
            }
            catch (ModelFormatException e)
            {
                Assert.True(s_refusals.Contains(e.Code), $"{path}: {e.Describe()}");
                string key = $"{e.Code} {e.Message}";
                if (!refused.TryGetValue(key, out List<string>? list)) refused[key] = list = [];
                list.Add(Path.GetFileName(Path.GetDirectoryName(path)!));
            }
        }
        output.WriteLine($"{read} models read");
        foreach ((string why, List<string> cases) in refused) output.WriteLine($"{why}: {string.Join(", ", cases)}");
        Assert.True(read >= 950, $"{read} models read");
        Assert.True(refused.Values.Sum(c => c.Count) <= 25, string.Join("; ", refused.Keys));
    }

    [SkippableFact]
    public void Every_tensor_file_of_the_conformance_data_is_read_or_refused_by_type()
    {
        string root = TestData.Require("onnx-conformance");
        int read = 0;
        foreach (string model in Directory.EnumerateFiles(Path.Combine(root, "simple"), "model.onnx", SearchOption.AllDirectories))
        {
            foreach (string pb in Directory.EnumerateFiles(Path.GetDirectoryName(model)!, "*.pb", SearchOption.AllDirectories))
            {
                try
                {
                    TensorData data = OnnxTensor.Read(pb);
                    Assert.NotEqual(ElementType.Undefined, data.ElementType);
                    read++;
                }
                catch (ModelFormatException e) when (e.Code is "SL1105" or "SL1101")
                {
                    output.WriteLine($"{pb}: {e.Message}");
                }
            }
        }
        Assert.True(read > 20, $"{read} tensors read");
    }

    [SkippableTheory]
    [InlineData("ultraface", "version-RFB-320_without_postprocessing.onnx")]
    [InlineData("silero-vad", "silero_vad_16k_op15.onnx")]
    public void Public_models_are_read(string folder, string name)
    {
        ModelGraph graph = OnnxReader.Read(TestData.Require(folder, name));
        Assert.NotEmpty(graph.Weights);
        Assert.Contains(graph.Weights.Values, w => w.Storage.IsLazy);
        Assert.All(graph.Weights.Values, w => Assert.Equal(w.Length, w.Read().Length));
        foreach (UnsupportedOperatorException e in GraphValidator.UnsupportedOperators(graph)) output.WriteLine(e.Message);
    }
}
