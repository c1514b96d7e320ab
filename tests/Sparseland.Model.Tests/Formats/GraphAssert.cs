using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats;

/// <summary>Equality of graphs down to the last bit.</summary>
public static class GraphAssert
{
    public static void Equal(ModelGraph expected, ModelGraph actual)
    {
        Assert.Equal(expected.Name, actual.Name);
        Assert.Equal(expected.Inputs, actual.Inputs);
        Assert.Equal(expected.Outputs, actual.Outputs);
        Assert.Equal(expected.Metadata, actual.Metadata);
        Assert.Equal(expected.CustomDomains, actual.CustomDomains);
        Assert.Equal(expected.Weights.Keys, actual.Weights.Keys);
        foreach (Weight weight in expected.Weights.Values)
        {
            SampleTensors.AssertSame(weight.Read(), actual.Weights[weight.Name].Read());
            Assert.Equal(weight.Mask, actual.Weights[weight.Name].Mask);
        }
        Assert.Equal(expected.Nodes.Count, actual.Nodes.Count);
        foreach ((Node a, Node b) in expected.Nodes.Zip(actual.Nodes))
        {
            Assert.Equal(a.ToString(), b.ToString());
            Assert.Equal(a.Domain, b.Domain);
            Assert.Equal(a.Attributes.Names, b.Attributes.Names);
            foreach (string key in a.Attributes.Names) Equal(a.Attributes.Value(key)!, b.Attributes.Value(key)!);
        }
    }

    private static void Equal(object expected, object actual)
    {
        Assert.Equal(expected.GetType(), actual.GetType());
        switch (expected)
        {
            case TensorData t: SampleTensors.AssertSame(t, (TensorData)actual); break;
            case ModelGraph g: Equal(g, (ModelGraph)actual); break;
            case TensorData[] list:
                foreach ((TensorData a, TensorData b) in list.Zip((TensorData[])actual)) SampleTensors.AssertSame(a, b);
                break;
            case ModelGraph[] list:
                foreach ((ModelGraph a, ModelGraph b) in list.Zip((ModelGraph[])actual)) Equal(a, b);
                break;
            default: Assert.Equal(expected, actual); break;
        }
    }
}
