using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats.Llama2c;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;
using Sparseland.Pruning.Catalog;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.Runs;
using Xunit.Abstractions;

namespace Sparseland.Pruning.Tests.Methods;

public class WandaTests(ITestOutputHelper output)
{
    private static PruningResult Prune(TrainableModel model, string method, string pattern, BatchLoader data)
    {
        MethodInfo info = MethodCatalog.Get(method);
        var settings = new PruningSettings { Sparsity = 0.5, Pattern = SparsityPattern.Parse(pattern), Policy = info.DefaultPolicy };
        return ((OneShotSparsifier)info.Build(settings)).Apply(PruningTarget.Of(model), new PruningContext { Data = data });
    }

    [Fact]
    public void Norms_are_those_of_the_pruned_predecessor_and_rows_lose_the_same_number()
    {
        ModelGraph Graph()
        {
            var g = new GraphBuilder("two", 3);
            Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), 8);
            Value h = g.Relu(g.Linear(x, "layers.0.up", 12));
            return g.Output("y", g.Linear(h, "layers.1.down", 6)).Build();
        }
        var data = new BatchLoader(new ArrayDataset(Make.Random(8 * 40, 4), new int[40], [8], 2), new BatchOptions { BatchSize = 16, Shuffle = false });
        var model = new TrainableModel(Graph());
        PruningResult result = ((OneShotSparsifier)MethodCatalog.Get("wanda").Build(new PruningSettings { Sparsity = 0.5 }, new Dictionary<string, string> { ["samples"] = "40" })).Apply(PruningTarget.Of(model), new PruningContext { Data = data });
        Assert.Equal(0.5, result.Achieved, 10);
        foreach (LayerOutcome layer in result.Layers)
        {
            bool[] flags = layer.Layer.ToMatrix(model.Parameter(layer.Layer.Name).Mask!.ToFlags());
            Assert.All(flags.Chunk(layer.Layer.Columns), row => Assert.Equal(layer.Layer.Columns / 2, row.Count(f => f)));
        }
        // By hand: hidden values of the pruned first layer, then |W| times their norms.
        TrainableModel dense = new(Graph());
        dense.SetMask(dense.Parameter("layers.0.up.weight"), model.Parameter("layers.0.up.weight").Mask);
        dense.IsTraining = false;
        double[] squares = new double[12];
        using (dense.Observe(dense.Graph.Nodes.First(n => n.OpType == "Relu").Output(0), v =>
        {
            Span<float> h = v.Tensor.Values;
            for (int i = 0; i < h.Length; i++) squares[i % 12] += (double)h[i] * h[i];
        })) dense.Forward(TensorData.Wrap(Make.Random(8 * 40, 4), 40, 8));
        float[] w = dense.Parameter("layers.1.down.weight").Value.ToArray();
        bool[] expected = new bool[w.Length];
        for (int r = 0; r < 6; r++)
        {
            foreach (int c in Enumerable.Range(0, 12).OrderByDescending(c => Math.Abs(w[r * 12 + c]) * Math.Sqrt(squares[c])).Take(6)) expected[r * 12 + c] = true;
        }
        Assert.Equal(expected, model.Parameter("layers.1.down.weight").Mask!.ToFlags());
    }

    [SkippableFact]
    public void Real_language_model_wanda_beats_magnitude()
    {
        string checkpoint = TestData.Require("lm-stories260k", "checkpoint_v1.bin"), vocabulary = TestData.Require("lm-stories260k", "tokenizer.bin");
        var tokenizer = Llama2cTokenizer.Load(vocabulary);
        var options = new DataSourceOptions { Encoder = TextEncoder.Of(tokenizer), Window = 512 };
        TokenDataset test = DataSource.Open(TestData.Require("text", "tinystories_sample_3stories.txt"), options).WholeText!;
        var calibration = new BatchLoader(
            TokenDataset.FromDocuments(ProceduralText.Create(30_000).Split("\n\n", StringSplitOptions.RemoveEmptyEntries), t => tokenizer.Encode(t), tokenizer.VocabularySize, 256),
            new BatchOptions { BatchSize = 8, Shuffle = false });

        double Perplexity(string? method, string pattern)
        {
            var model = new TrainableModel(Llama2cReader.Load(checkpoint, vocabulary));
            if (method is not null)
            {
                PruningResult result = Prune(model, method, pattern, calibration);
                Assert.Equal(0.5, result.Achieved, 2);
                Assert.Contains(result.Excluded, e => e.Reason!.Contains("embedding", StringComparison.Ordinal));
            }
            Evaluation e = Evaluator.Evaluate(model, test, new EvaluationOptions { BatchSize = 4 });
            output.WriteLine($"{method ?? "dense"} {pattern}: {e.Perplexity:F4} per token, {e.BitsPerByte:F4} bits per byte, {e.Scored} tokens");
            return e.Perplexity;
        }

        double dense = Perplexity(null, ""), wanda = Perplexity("wanda", "unstructured"), magnitude = Perplexity("magnitude", "unstructured"), twoFour = Perplexity("wanda", "2:4");
        Assert.Equal(3.3235, dense, 2e-3);
        Assert.True(wanda < magnitude, $"wanda {wanda}, magnitude {magnitude}");
        Assert.True(wanda < twoFour);
    }
}
