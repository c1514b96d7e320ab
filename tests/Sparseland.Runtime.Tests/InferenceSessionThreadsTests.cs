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
        // Sparse kernels everywhere, whatever they cost.
        var sparse = new SessionOptions { BreakEven = new BreakEvenTable(Enum.GetValues<KernelKind>().Select(k => new BreakEven(k, 0, 1)), "tests") };
        int before = WorkPool.Threads;
        try
        {
            ModelGraph graph = RandomNetworks.Convolutional(3, 0.2);
            foreach (int batch in (int[])[1, 9])
            {
                TensorData x = RandomNetworks.Input(1, batch, 3, 12, 12);
                WorkPool.Threads = 1;
                float[] one = new InferenceSession(graph, sparse).Run(x).Values.First().Array<float>();
                foreach (int threads in (int[])[2, 3])
                {
                    WorkPool.Threads = threads;
                    Near.BitEqual(one, new InferenceSession(graph, sparse).Run(x).Values.First().Span<float>());
                }
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }
    }
}
