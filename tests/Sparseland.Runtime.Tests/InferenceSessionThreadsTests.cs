using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

/// <summary>Changes the number of threads, which all tests share.</summary>
[Collection(nameof(MeasuringCollection))]
public class InferenceSessionThreadsTests
{
    [Fact]
    public void Results_do_not_depend_on_threads()
    {
        int before = WorkPool.Threads;
        try
        {
            ModelGraph graph = RandomNetworks.Convolutional(3, 0.2);
            foreach (int batch in (int[])[1, 9])
            {
                TensorData x = RandomNetworks.Input(1, batch, 3, 12, 12);
                WorkPool.Threads = 1;
                float[] one = new InferenceSession(graph, PlannedOptions.AlwaysSparse).Run(x).Values.First().Array<float>();
                foreach (int threads in (int[])[2, 3])
                {
                    WorkPool.Threads = threads;
                    Near.BitEqual(one, new InferenceSession(graph, PlannedOptions.AlwaysSparse).Run(x).Values.First().Span<float>());
                }
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }
    }

    [Fact]
    public void Two_threads_have_halves_of_images_in_memory_of_their_own()
    {
        var b = new GraphBuilder("separable", 1);
        Value x = b.Input("x", ElementType.Float32, 1, 3, 56, 56);
        x = b.Relu(b.Conv(x, "stem", 64, 3, stride: 2, padding: 1));
        for (int i = 0; i < 4; i++)
        {
            x = b.Relu(b.Conv(x, $"depthwise{i}", x.Size(1), 3, stride: i == 1 ? 2 : 1, padding: 1, groups: x.Size(1)));
            x = b.Relu(b.Conv(x, $"point{i}", 128, 1));
        }
        ModelGraph graph = b.Build(b.Linear(b.Flatten(b.GlobalAveragePool(x)), "head", 5));
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape is [> 1, > 1, _, _]))
            weight.SetMask(PatternProjection.KeepBest(SparsityPattern.Unstructured, Array.ConvertAll(weight.Read().ToSingles(), Math.Abs), weight.Shape[0], weight.Length / weight.Shape[0], 0.3).Reshape(weight.Shape));
        TensorData input = RandomNetworks.Input(1, 1, 3, 56, 56);
        var inputs = new Dictionary<string, TensorData> { ["x"] = input };
        int before = WorkPool.Threads;
        try
        {
            WorkPool.Threads = 1;
            var session = new InferenceSession(graph, PlannedOptions.AlwaysSparse);
            float[] one = session.Run(input).Values.First().Array<float>();
            Assert.DoesNotContain("in halves", session.DescribePlan(inputs));
            WorkPool.Threads = 2;
            session = new InferenceSession(graph, PlannedOptions.AlwaysSparse);
            Near.BitEqual(one, session.Run(input).Values.First().Span<float>());
            // All but the last product, whose image a reduction reads.
            if (CompiledKernels.AreWritten) Assert.Contains("(8 values lie in halves", session.DescribePlan(inputs));
            else Assert.DoesNotContain("in halves", session.DescribePlan(inputs));
            // A plan that was made for two threads runs with any number of them.
            foreach (int threads in (int[])[1, 3])
            {
                WorkPool.Threads = threads;
                Near.BitEqual(one, session.Run(input).Values.First().Span<float>());
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }
    }
}
